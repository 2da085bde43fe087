//! Answers that are used again, and questions that several requests wait for.

use super::Verdict;
use crate::cursor::UnixMillis;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};

/// A hash of what was asked.
pub type Key = [u8; 32];

/// A question that is open.
pub type Asking = Shared<BoxFuture<'static, Verdict>>;

/// At most so many answers and open questions; the oldest give way.
pub struct Answers {
    inner: Mutex<Inner>,
    max: usize,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    /// Keys in the order in which they came.
    order: VecDeque<Key>,
}

enum Entry {
    /// Gone once nobody waits for it any more.
    Asking(WeakShared<BoxFuture<'static, Verdict>>),
    Known(Verdict, UnixMillis),
}

/// What there is for a key.
pub enum Found {
    Known(Verdict),
    Asking(Asking),
}

impl Answers {
    pub fn new(max: usize) -> Answers {
        Answers {
            inner: Mutex::default(),
            max: max.max(1),
        }
    }

    /// An answer that still holds, or the question that is open: a new one if there was none.
    pub fn find_or_ask(&self, key: Key, now: UnixMillis, ask: impl FnOnce() -> Asking) -> Found {
        let mut inner = self.inner.lock();
        match inner.entries.get(&key) {
            Some(Entry::Known(verdict, until)) if now < *until => {
                return Found::Known(verdict.clone());
            }
            Some(Entry::Asking(asking)) => {
                if let Some(asking) = asking.upgrade() {
                    return Found::Asking(asking);
                }
            }
            Some(Entry::Known(..)) | None => {}
        }
        let asking = ask();
        if let Some(weak) = asking.downgrade() {
            inner.insert(key, Entry::Asking(weak), self.max);
        }
        Found::Asking(asking)
    }

    /// Keeps the answer to a question until a time, unless another was asked meanwhile.
    pub fn keep(&self, key: Key, asked: &Asking, verdict: Verdict, until: UnixMillis) {
        let mut inner = self.inner.lock();
        if let Some(entry) = inner.entries.get_mut(&key)
            && let Entry::Asking(asking) = entry
            && asking.upgrade().is_some_and(|asking| asking.ptr_eq(asked))
        {
            *entry = Entry::Known(verdict, until);
        }
    }
}

impl Inner {
    fn insert(&mut self, key: Key, entry: Entry, max: usize) {
        if self.entries.insert(key, entry).is_none() {
            self.order.push_back(key);
        }
        while self.entries.len() > max
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn asking() -> Asking {
        async { Verdict::Unknown }.boxed().shared()
    }

    fn key(n: u8) -> Key {
        [n; 32]
    }

    /// The question that is open for a key, and whether it is a new one.
    fn find(answers: &Answers, n: u8, now: UnixMillis) -> (Option<Asking>, bool) {
        let mut new = false;
        let found = answers.find_or_ask(key(n), now, || {
            new = true;
            asking()
        });
        match found {
            Found::Asking(asking) => (Some(asking), new),
            Found::Known(_) => (None, new),
        }
    }

    #[test]
    fn a_question_is_asked_once_and_its_answer_holds_for_its_time() {
        let answers = Answers::new(10);
        let (first, new) = find(&answers, 1, 0);
        let first = first.unwrap();
        assert!(new && !find(&answers, 1, 0).1, "it is open");
        answers.keep(key(1), &first, Verdict::Forbidden, 100);
        assert!(find(&answers, 1, 99).0.is_none(), "it is answered");
        let (second, new) = find(&answers, 1, 100);
        assert!(new);
        // the answer to the old question says nothing about the new one
        answers.keep(key(1), &first, Verdict::Forbidden, 1_000);
        assert!(
            find(&answers, 1, 101)
                .0
                .is_some_and(|open| open.ptr_eq(&second.unwrap()))
        );
    }

    #[test]
    fn a_question_that_nobody_waits_for_is_asked_again() {
        let answers = Answers::new(10);
        drop(find(&answers, 1, 0));
        assert!(find(&answers, 1, 0).1);
    }

    #[test]
    fn past_the_bound_the_oldest_give_way() {
        let answers = Answers::new(2);
        let open: Vec<_> = (1..=3).map(|n| find(&answers, n, 0)).collect();
        assert!(open.iter().all(|(_, new)| *new));
        assert!(!find(&answers, 2, 0).1 && !find(&answers, 3, 0).1);
        assert!(find(&answers, 1, 0).1, "it gave way");
        let inner = answers.inner.lock();
        assert_eq!((inner.entries.len(), inner.order.len()), (2, 2));
    }
}
