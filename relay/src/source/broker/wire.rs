//! A connection that ends when the other side is silent.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// What a broker is spoken to through.
pub(in crate::source) trait Wire:
    AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug
{
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug> Wire for T {}

/// A connection on which something is read at least every so often, or reading fails: a broker that
/// is frozen, or behind a network that swallows, looks like one that has nothing to say.
pub(in crate::source) struct Quiet<W> {
    wire: W,
    /// No bound where the broker promises no heart-beats.
    longest: Option<Duration>,
    deadline: Pin<Box<Sleep>>,
}

impl<W> fmt::Debug for Quiet<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quiet")
            .field("longest", &self.longest)
            .finish_non_exhaustive()
    }
}

impl<W> Quiet<W> {
    /// Without a bound, for now.
    pub(in crate::source) fn new(wire: W) -> Quiet<W> {
        Quiet {
            wire,
            longest: None,
            deadline: Box::pin(sleep(Duration::ZERO)),
        }
    }

    /// From now on something comes at least every so often.
    pub(in crate::source) fn expect_every(&mut self, longest: Duration) {
        self.longest = Some(longest);
        self.deadline.as_mut().reset(Instant::now() + longest);
    }
}

impl<W: AsyncRead + Unpin> AsyncRead for Quiet<W> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.wire).poll_read(context, buffer);
        let Some(longest) = this.longest else {
            return read;
        };
        if read.is_ready() {
            this.deadline.as_mut().reset(Instant::now() + longest);
            return read;
        }
        ready!(this.deadline.as_mut().poll(context));
        let text = format!("the broker has said nothing for {longest:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Quiet<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn silence_ends_the_reading_and_whatever_is_said_puts_it_off() {
        let (near, mut far) = duplex(64);
        let mut near = Quiet::new(near);
        near.expect_every(Duration::from_secs(2));
        let mut byte = [0];
        for _ in 0..3 {
            let (read, ()) = tokio::join!(near.read_exact(&mut byte), async {
                sleep(Duration::from_millis(1_900)).await;
                far.write_all(b"x").await.unwrap();
            });
            assert_eq!(read.unwrap(), 1);
        }
        let before = Instant::now();
        let error = near.read_exact(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(before.elapsed(), Duration::from_secs(2));
    }
}
