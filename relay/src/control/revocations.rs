//! The revocations that hold now. Pure: no clock, no lock, so that a shared store can take its place.

use super::revocation::{Revocation, RevocationId, Revoked};
use crate::{cursor::UnixMillis, who::Who};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Bounded. What is over is forgotten when its room is needed, and means nothing before that.
pub struct Revocations {
    by_revoked: HashMap<Revoked, Revocation>,
    ids: BTreeMap<RevocationId, Revoked>,
    max: usize,
}

/// No room for another revocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0} revocations hold, the limit; nothing was revoked. Take back what is not needed any more \
     (DELETE /v1/revocations/ID), or raise `revocations.max`"
)]
pub struct Full(pub usize);

impl Revocations {
    pub fn new(max: usize) -> Revocations {
        Revocations {
            by_revoked: HashMap::new(),
            ids: BTreeMap::new(),
            max,
        }
    }

    /// Adds one, or lets the one that holds for the same credentials end when this one does.
    pub fn add(&mut self, revocation: Revocation, now: UnixMillis) -> Result<(), Full> {
        let known = self.by_revoked.contains_key(&revocation.revoked);
        if !known && self.by_revoked.len() >= self.max {
            self.forget_ended(now);
        }
        if !known && self.by_revoked.len() >= self.max {
            return Err(Full(self.max));
        }
        let revoked = revocation.revoked.clone();
        self.ids.insert(revoked.id(), revoked.clone());
        self.by_revoked.insert(revoked, revocation);
        Ok(())
    }

    /// Takes one back, and gives it.
    pub fn remove(&mut self, id: &RevocationId, now: UnixMillis) -> Option<Revocation> {
        let revoked = self.ids.remove(id)?;
        self.by_revoked
            .remove(&revoked)
            .filter(|revocation| revocation.until > now)
    }

    /// Whether somebody's credential is refused.
    pub fn refuse(&self, who: &Who, now: UnixMillis) -> bool {
        !self.by_revoked.is_empty()
            && Revoked::of(who).any(|revoked| {
                self.by_revoked
                    .get(&revoked)
                    .is_some_and(|revocation| revocation.until > now)
            })
    }

    /// Whether this one is known as it is.
    pub fn holds(&self, revocation: &Revocation) -> bool {
        self.by_revoked.get(&revocation.revoked) == Some(revocation)
    }

    /// Whether the one for the same credentials was made after this one.
    pub fn has_later(&self, than: &Revocation) -> bool {
        let known = self.by_revoked.get(&than.revoked);
        known.is_some_and(|known| known.at > than.at)
    }

    /// Those that are not among these.
    pub fn besides(&self, known: &HashSet<RevocationId>) -> Vec<Revocation> {
        let unknown = self.ids.iter().filter(|(id, _)| !known.contains(id));
        unknown
            .filter_map(|(_, revoked)| self.by_revoked.get(revoked).cloned())
            .collect()
    }

    /// Those that hold, in order of their ids, after one, at most `limit`.
    pub fn list(
        &self,
        after: Option<&RevocationId>,
        limit: usize,
        now: UnixMillis,
    ) -> Vec<(RevocationId, Revocation)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.ids
            .range((after.map_or(Unbounded, Excluded), Unbounded))
            .filter_map(|(id, revoked)| Some((id.clone(), self.by_revoked.get(revoked)?.clone())))
            .filter(|(_, revocation)| revocation.until > now)
            .take(limit)
            .collect()
    }

    /// How many hold.
    pub fn count(&self, now: UnixMillis) -> usize {
        let holding = |revocation: &&Revocation| revocation.until > now;
        self.by_revoked.values().filter(holding).count()
    }

    fn forget_ended(&mut self, now: UnixMillis) {
        self.by_revoked
            .retain(|_, revocation| revocation.until > now);
        let by_revoked = &self.by_revoked;
        self.ids
            .retain(|_, revoked| by_revoked.contains_key(revoked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::Evidence, subject::Subject};

    fn who(subject: Option<&str>, token: &str) -> Who {
        Who {
            subject: subject.map(|name| Subject::parse(name).unwrap()),
            evidence: Evidence::Token(token.into()),
        }
    }

    fn subject(name: &str, until: UnixMillis) -> Revocation {
        Revocation {
            revoked: Revoked::Subject(Subject::parse(name).unwrap()),
            until,
            at: 0,
        }
    }

    #[test]
    fn a_revocation_holds_until_its_end_and_for_nobody_else() {
        let mut revocations = Revocations::new(10);
        let (ann, bob) = (who(Some("ann"), "page"), who(Some("bob"), "page"));
        assert!(!revocations.refuse(&ann, 1));
        revocations.add(subject("ann", 100), 1).unwrap();
        assert!(revocations.refuse(&ann, 99) && !revocations.refuse(&ann, 100));
        assert!(!revocations.refuse(&bob, 1));
        let token = Revocation {
            revoked: Revoked::Token("page".into()),
            until: 50,
            at: 1,
        };
        revocations.add(token, 1).unwrap();
        assert!(revocations.refuse(&bob, 49) && revocations.refuse(&who(None, "page"), 49));
        assert!(
            !revocations.refuse(&who(Some("page"), "ann"), 49),
            "a name is not a subject"
        );
        let nobody = Who {
            subject: None,
            evidence: Evidence::Anonymous,
        };
        assert!(!revocations.refuse(&nobody, 1));
        assert_eq!((revocations.count(49), revocations.count(50)), (2, 1));
    }

    #[test]
    fn the_last_word_about_the_same_credentials_holds() {
        let mut revocations = Revocations::new(1);
        revocations.add(subject("ann", 100), 1).unwrap();
        revocations.add(subject("ann", 10), 1).unwrap();
        assert!(!revocations.refuse(&who(Some("ann"), "page"), 10));
        let id = subject("ann", 0).revoked.id();
        assert!(revocations.remove(&id, 1).is_some());
        assert!(revocations.remove(&id, 1).is_none());
        assert!(!revocations.refuse(&who(Some("ann"), "page"), 1));
    }

    #[test]
    fn of_two_for_the_same_credentials_the_one_that_was_made_later_is_known() {
        let mut revocations = Revocations::new(1);
        let at = |at| Revocation {
            at,
            ..subject("ann", 100)
        };
        assert!(!revocations.has_later(&at(0)));
        revocations.add(at(5), 5).unwrap();
        assert!(revocations.has_later(&at(4)));
        assert!(!revocations.has_later(&at(5)) && !revocations.has_later(&at(6)));
    }

    #[test]
    fn past_the_bound_one_is_refused_unless_another_has_ended() {
        let mut revocations = Revocations::new(2);
        revocations.add(subject("a", 100), 1).unwrap();
        revocations.add(subject("b", 10), 1).unwrap();
        assert_eq!(revocations.add(subject("c", 100), 1), Err(Full(2)));
        assert!(!revocations.refuse(&who(Some("c"), "page"), 1));
        revocations.add(subject("a", 200), 1).unwrap();
        revocations.add(subject("c", 100), 10).unwrap();
        assert_eq!(revocations.ids.len(), 2, "the index has the same bound");
        assert!(revocations.refuse(&who(Some("c"), "page"), 10));
    }

    #[test]
    fn a_list_has_pages_and_only_what_holds() {
        let mut revocations = Revocations::new(10);
        for (name, until) in [("a", 100), ("b", 100), ("c", 100), ("d", 5)] {
            revocations.add(subject(name, until), 1).unwrap();
        }
        let all = revocations.list(None, 10, 5);
        assert_eq!(all.len(), 3);
        assert_eq!(revocations.list(None, 2, 5), all[..2]);
        assert_eq!(revocations.list(Some(&all[1].0), 2, 5), all[2..]);
    }
}
