//! One command.

/// One command with its arguments.
#[derive(Clone, Debug)]
pub struct Command {
    pub(super) inner: ::redis::Cmd,
}

impl Command {
    /// `name` may have two words, as in `CLUSTER SLOTS`.
    pub fn new(name: &str) -> Command {
        let mut inner = ::redis::Cmd::new();
        for word in name.split(' ') {
            inner.arg(word);
        }
        Command { inner }
    }

    /// Adds an argument: any bytes.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<[u8]>) -> Command {
        self.inner.arg(arg.as_ref());
        self
    }

    /// Adds an argument in decimal.
    #[must_use]
    pub fn number(self, number: impl Into<i128>) -> Command {
        let text = number.into().to_string();
        self.arg(text)
    }

    #[must_use]
    pub fn args<A: AsRef<[u8]>>(self, args: impl IntoIterator<Item = A>) -> Command {
        args.into_iter().fold(self, Command::arg)
    }
}
