//! Holds every provider to the contract of [`Steps`]: deadlines, one terminal item, no empty reply.

use super::{Deadlines, ProviderError, Step, Steps};
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout_at};

/// Guards the steps of one call.
///
/// An empty [`Step::Text`] from inside is a sign of life (a model that thinks): it moves the
/// deadline and goes no further. The inner stream is dropped, and with it the connection to the
/// model, *before* the terminal item is handed on.
pub(super) fn guarded(
    steps: impl Stream<Item = Result<Step, ProviderError>> + Send + 'static,
    deadlines: Deadlines,
) -> Steps {
    Box::pin(async_stream::stream! {
        let mut steps = Box::pin(steps);
        let started = Instant::now();
        let total = started + deadlines.total;
        let mut alive = false;
        let mut empty = true;
        let mut server = None;
        let terminal = loop {
            let silent = if alive { Instant::now() + deadlines.between } else { started + deadlines.first };
            match timeout_at(silent.min(total), steps.next()).await {
                Ok(Some(Ok(Step::Text(text)))) => {
                    alive = true;
                    if !text.is_empty() {
                        empty = false;
                        yield Ok(Step::Text(text));
                    }
                }
                Ok(Some(Ok(Step::Resolved { provider, model, server: chosen }))) => {
                    server.clone_from(&chosen);
                    yield Ok(Step::Resolved { provider, model, server: chosen });
                }
                Ok(Some(Ok(Step::End { finish, .. }))) if empty => break Err(ProviderError::empty(finish)),
                Ok(Some(terminal)) => break terminal,
                Ok(None) => break Err(ProviderError::cut()),
                Err(_) => break Err(overdue(alive, Instant::now() >= total)),
            }
        };
        drop(steps);
        yield terminal.map_err(|error| ProviderError { server: error.server.or(server), ..error });
    })
}

fn overdue(alive: bool, total: bool) -> ProviderError {
    let (message, cause) = match (total, alive) {
        (true, _) => ("the model's reply took too long", "total deadline"),
        (false, true) => ("the model stopped in the middle of its reply", "deadline between pieces of text"),
        (false, false) => ("the model did not answer in time", "deadline of the first text"),
    };
    ProviderError::passing(message, cause)
}
