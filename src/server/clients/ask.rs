//! Questions to all loops of a server.

use super::clients::Clients;
use super::queue::lock;
use super::remote::Remote;
use crate::server::data::ClientData;
use std::sync::{Arc, Mutex};

impl<D: ClientData> Clients<D> {
    /// Asks each loop of the server, this one included, and calls `then` with all answers, in the
    /// order of the loops. `ask` runs on each loop's thread, at the beginning of a turn, and `then`
    /// on this one. A loop that has stopped does not answer, and one whose callback blocks delays
    /// all. With one loop it works in the same way.
    ///
    /// ```
    /// # fn example(clients: &mut lariat::Clients<()>) {
    /// clients.ask_loops(
    ///     |clients| clients.stats(),
    ///     |clients, all| {
    ///         let messages: u64 = all.iter().map(|stats| stats.received.messages()).sum();
    ///         clients.broadcast(&format!("{messages} messages so far"));
    ///     },
    /// );
    /// # }
    /// ```
    pub fn ask_loops<T, A, F>(&mut self, ask: A, then: F)
    where
        T: Send + 'static,
        A: Fn(&mut Clients<D>) -> T + Send + Sync + 'static,
        F: FnOnce(&mut Clients<D>, Vec<T>) + Send + 'static,
    {
        let question = Question { ask, answers: Mutex::default(), then: Mutex::new(Some(then)), asker: self.remote() };
        let question = Arc::new(question);
        for number in 0..self.loops() {
            let question = Arc::clone(&question);
            self.remote().on_loop(number).run_always(move |clients| question.answer(clients, number));
        }
    }
}

/// A question to all loops. Each of them has a reference until it has answered or stopped. When the
/// last one is dropped, the loop that has asked gets the answers.
struct Question<D: ClientData, T: Send + 'static, A, F: FnOnce(&mut Clients<D>, Vec<T>) + Send + 'static> {
    ask: A,
    answers: Mutex<Vec<(usize, T)>>,
    then: Mutex<Option<F>>,
    asker: Remote<D>,
}

impl<D: ClientData, T: Send + 'static, A, F: FnOnce(&mut Clients<D>, Vec<T>) + Send + 'static> Question<D, T, A, F>
where
    A: Fn(&mut Clients<D>) -> T,
{
    fn answer(&self, clients: &mut Clients<D>, number: usize) {
        let answer = (self.ask)(clients);
        lock(&self.answers).push((number, answer));
    }
}

impl<D: ClientData, T: Send + 'static, A, F> Drop for Question<D, T, A, F>
where
    F: FnOnce(&mut Clients<D>, Vec<T>) + Send + 'static,
{
    fn drop(&mut self) {
        let mut answers = std::mem::take(&mut *lock(&self.answers));
        answers.sort_by_key(|(number, _)| *number);
        let answers = answers.into_iter().map(|(_, answer)| answer).collect();
        let then = lock(&self.then).take();
        if let Some(then) = then {
            self.asker.run_always(move |clients| then(clients, answers));
        }
    }
}
