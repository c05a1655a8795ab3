//! Lines of standard input.

use std::{io, thread};

use tokio::sync::mpsc;

/// Lines as they are typed or piped. A thread reads them, because a read of a terminal cannot be given up.
pub struct Input {
    lines: mpsc::Receiver<String>,
}

impl Input {
    pub fn start() -> Self {
        let (sender, lines) = mpsc::channel(1);
        thread::spawn(move || {
            for line in io::stdin().lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    break;
                }
            }
        });
        Self { lines }
    }

    /// The next line; none at the end. Cancel-safe.
    pub async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }
}
