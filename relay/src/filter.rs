//! Which events of its channels a subscription wants.

use crate::event::Attributes;
use std::collections::{BTreeMap, BTreeSet};

/// Accepted values by attribute: OR within an attribute, AND across attributes. Empty accepts all.
/// Values are compared exactly; an event without the attribute is not accepted.
#[derive(
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Filter(BTreeMap<Box<str>, BTreeSet<Box<str>>>);

impl Filter {
    /// Adds accepted values. Naming an attribute twice widens what it accepts.
    pub fn accept(&mut self, attribute: &str, values: impl IntoIterator<Item = Box<str>>) {
        self.0.entry(attribute.into()).or_default().extend(values);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn accepts(&self, attributes: &Attributes) -> bool {
        self.0.iter().all(|(name, values)| {
            attributes
                .get(name)
                .is_some_and(|value| values.contains(value))
        })
    }

    /// Attributes and the values accepted for each.
    pub fn terms(&self) -> &BTreeMap<Box<str>, BTreeSet<Box<str>>> {
        &self.0
    }

    /// How many values it lists in all.
    pub fn size(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> Attributes {
        Attributes::new(pairs.iter().map(|(k, v)| (k.to_string(), v.to_string()))).unwrap()
    }

    #[test]
    fn or_within_an_attribute_and_across_attributes() {
        let mut filter = Filter::default();
        assert!(filter.accepts(&attributes(&[])));
        filter.accept("kind", ["a".into(), "b".into()]);
        filter.accept("site", ["x".into()]);
        assert!(filter.accepts(&attributes(&[("kind", "b"), ("site", "x"), ("more", "1")])));
        assert!(!filter.accepts(&attributes(&[("kind", "c"), ("site", "x")])));
        assert!(!filter.accepts(&attributes(&[("kind", "a")])));
        assert!(
            !filter.accepts(&attributes(&[("kind", "A"), ("site", "x")])),
            "values are exact"
        );
    }

    #[test]
    fn naming_an_attribute_twice_widens_it() {
        let mut filter = Filter::default();
        filter.accept("kind", ["a".into()]);
        filter.accept("kind", ["b".into()]);
        assert!(filter.accepts(&attributes(&[("kind", "a")])));
        assert_eq!(filter.size(), 2);
    }

    proptest::proptest! {
        #[test]
        fn a_filter_accepts_what_each_of_its_attributes_accepts(
            terms in proptest::collection::vec(("[ab]", "[xyz]"), 0..6),
            pairs in proptest::collection::btree_map("[ab]", "[xyz]", 0..3),
        ) {
            let mut filter = Filter::default();
            for (name, value) in &terms {
                filter.accept(name, [value.as_str().into()]);
            }
            let event: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let wanted = terms.iter().all(|(name, _)| {
                let value = pairs.get(name);
                value.is_some_and(|value| terms.iter().any(|(n, v)| n == name && v == value))
            });
            proptest::prop_assert_eq!(filter.accepts(&attributes(&event)), wanted);
            proptest::prop_assert!(filter.size() <= terms.len());
        }
    }
}
