//! Answers that concern all loops of the server.

use lariat::{Answer, ClientId, Clients};

/// Asks all loops, and answers a request when they have answered. With one loop, the answer comes
/// at once.
pub(super) fn answer_for_all<T: Send + 'static>(
    clients: &mut Clients<()>,
    id: ClientId,
    ask: impl Fn(&mut Clients<()>) -> T + Send + Sync + 'static,
    answer: impl FnOnce(&mut Clients<()>, Vec<T>) -> Answer + Send + 'static,
) -> Answer {
    if clients.loops() == 1 {
        let all = vec![ask(clients)];
        return answer(clients, all);
    }
    clients.ask_loops(ask, move |clients, all| {
        let answer = answer(clients, all);
        // The client may have disconnected.
        let _ = clients.answer(id, answer);
    });
    Answer::Later
}
