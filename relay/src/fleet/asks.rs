//! Orders whose answers are waited for.

use super::message::Answer;
use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::mpsc;

type Sender = mpsc::UnboundedSender<(String, Answer)>;

/// Bounded by whoever begins them ([`super::MAX_ASKS`]); each replica answers an order once.
#[derive(Default)]
pub struct Asks {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: HashMap<u64, Sender>,
}

/// One order; nobody waits for it any more when it is dropped.
pub struct Ask<'a> {
    asks: &'a Asks,
    pub number: u64,
    answers: mpsc::UnboundedReceiver<(String, Answer)>,
}

impl Asks {
    pub fn begin(&self) -> Ask<'_> {
        let (sender, answers) = mpsc::unbounded_channel();
        let mut state = self.state.lock();
        state.next += 1;
        let number = state.next;
        state.waiting.insert(number, sender);
        Ask {
            asks: self,
            number,
            answers,
        }
    }

    /// One that nobody waits for is dropped.
    pub fn answered(&self, number: u64, from: String, answer: Answer) {
        if let Some(waiting) = self.state.lock().waiting.get(&number) {
            let _ = waiting.send((from, answer)); // it is being dropped
        }
    }
}

impl Ask<'_> {
    /// The next answer, and whose it is.
    pub async fn next(&mut self) -> (String, Answer) {
        match self.answers.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await, // it has a sender as long as it lives
        }
    }
}

impl Drop for Ask<'_> {
    fn drop(&mut self) {
        self.asks.state.lock().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_finds_its_order_and_none_is_kept_for_an_order_that_is_gone() {
        let asks = Asks::default();
        let (mut one, other) = (asks.begin(), asks.begin());
        assert_ne!(one.number, other.number);
        asks.answered(one.number, "a".into(), Answer::Count(vec![3]));
        let (from, answer) = one.next().await;
        assert!(from == "a" && matches!(answer, Answer::Count(counts) if counts == [3]));
        let gone = other.number;
        drop(other);
        asks.answered(gone, "a".into(), Answer::Count(vec![]));
        assert_eq!(asks.state.lock().waiting.len(), 1);
    }
}
