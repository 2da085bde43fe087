//! A connection that is given up when it takes nothing for too long, and that says why it ended.

use crate::hub::{open::CloseReason, parting::Parting};
use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

pub struct Wire<T> {
    io: T,
    /// How long a write may wait.
    patience: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    parting: Arc<Parting>,
}

impl<T> Wire<T> {
    pub fn new(io: T, patience: Duration, parting: Arc<Parting>) -> Wire<T> {
        Wire {
            io,
            patience,
            waiting: None,
            parting,
        }
    }

    pub fn get_ref(&self) -> &T {
        &self.io
    }

    pub fn into_inner(self) -> T {
        self.io
    }

    /// What came of a write: the same, or the end of patience.
    fn written<R>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled.map_err(|error| self.noted(error));
        }
        let patience = self.patience;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(cx));
        self.parting.say(CloseReason::Stalled);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn noted(&self, error: io::Error) -> io::Error {
        let silent = matches!(
            error.kind(),
            io::ErrorKind::TimedOut
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
        );
        if silent {
            self.parting.say(CloseReason::Unreachable);
        }
        error
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        read.map_err(|error| self.noted(error))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.written(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.written(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(cx);
        self.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.written(cx, polled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    const PATIENCE: Duration = Duration::from_secs(60);

    async fn write(wire: &mut Wire<DuplexStream>) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *wire).poll_write(cx, b"0123")).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_waits_too_long_ends_the_connection_and_says_so() {
        let (here, mut there) = duplex(4);
        let parting = Arc::<Parting>::default();
        let mut wire = Wire::new(here, PATIENCE, parting.clone());
        assert_eq!(write(&mut wire).await.unwrap(), 4);
        // room comes just in time, and the time begins anew
        for _ in 0..2 {
            let (_, written) = tokio::join!(
                async {
                    sleep(PATIENCE - Duration::from_millis(1)).await;
                    there.read_exact(&mut [0; 4]).await.unwrap();
                },
                write(&mut wire)
            );
            assert_eq!(written.unwrap(), 4);
        }
        assert_eq!(parting.reason(), CloseReason::Client);
        let error = write(&mut wire).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(parting.reason(), CloseReason::Stalled);
    }
}
