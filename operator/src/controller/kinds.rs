//! Kinds of other projects that relays have objects of. The status says it too, but may be read as it
//! was before the last look: then objects of a way in that was left at once would be forgotten.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::life::Life;

/// What this operator has written, for each relay, as `group/version/Kind`.
#[derive(Debug, Default)]
pub struct Kinds(HashMap<Life, BTreeSet<String>>);

impl Kinds {
    /// Objects of these kinds are about to be written. Returns all kinds of which there may be some.
    pub fn begin(&mut self, relay: &Life, wanted: &[String], in_status: &[String]) -> Vec<String> {
        let kinds = self.0.entry(relay.clone()).or_default();
        kinds.extend(wanted.iter().chain(in_status).cloned());
        kinds.iter().cloned().collect()
    }

    /// They were written, and objects of all other kinds are gone.
    pub fn settled(&mut self, relay: &Life, wanted: &[String]) {
        if wanted.is_empty() {
            self.forget(relay);
        } else {
            let wanted = wanted.iter().cloned().collect();
            self.0.insert(relay.clone(), wanted);
        }
    }

    /// Forgets all but these relays.
    pub fn only(&mut self, there: &HashSet<Life>) {
        self.0.retain(|relay, _| there.contains(relay));
    }

    /// The relay is gone.
    pub fn forget(&mut self, relay: &Life) {
        self.0.remove(relay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(kinds: &[&str]) -> Vec<String> {
        kinds.iter().map(|kind| (*kind).to_owned()).collect()
    }

    #[test]
    fn what_was_written_is_known_before_the_status_says_so_and_until_it_is_gone() {
        let relay = Life::named("live");
        let mut kinds = Kinds::default();
        let one = list(&["a/v1/One"]);
        assert_eq!(kinds.begin(&relay, &one, &[]), one);
        kinds.settled(&relay, &one);
        // the next look reads an older status
        let both = list(&["a/v1/One", "b/v1/Two"]);
        assert_eq!(kinds.begin(&relay, &list(&["b/v1/Two"]), &[]), both);
        // not everything was removed, so it is looked for again
        assert_eq!(kinds.begin(&relay, &list(&["b/v1/Two"]), &[]), both);
        kinds.settled(&relay, &[]);
        assert!(kinds.begin(&relay, &[], &[]).is_empty());
        // an operator that was just started knows only what the status says
        kinds.forget(&relay);
        assert_eq!(kinds.begin(&relay, &[], &one), one);
    }
}
