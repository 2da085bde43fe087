//! What a credential allows.

use crate::{
    channel::{ChannelName, ChannelPattern, Selector},
    cursor::UnixMillis,
    filter::Filter,
    subject::Subject,
};
use std::collections::{BTreeMap, BTreeSet};

pub use relay_config::Right;

/// What a credential allows, whatever it was. Asking for more is refused, never narrowed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Grant {
    pub publish: Vec<ChannelPattern>,
    pub subscribe: Vec<ChannelPattern>,
    pub manage: BTreeSet<Right>,
    /// Whom it stands for, if anybody.
    pub subject: Option<Subject>,
    /// What is known of the holder besides: a team, a customer.
    pub attributes: BTreeMap<Box<str>, Box<str>>,
    /// Which events the holder sees, whatever it asks for.
    pub filters: Filter,
    /// When it ends.
    pub expires: Option<UnixMillis>,
}

impl Grant {
    /// Everything: what an open listener gives.
    pub fn everything() -> Grant {
        let all = vec![ChannelPattern::parse("**").expect("`**` is a pattern")];
        Grant {
            publish: all.clone(),
            subscribe: all,
            manage: Right::ALL.into(),
            ..Grant::default()
        }
    }

    pub fn may_publish(&self, channel: &ChannelName) -> bool {
        self.publish.iter().any(|pattern| channel.is_in(pattern))
    }

    /// Whether all that a selector can ever select is allowed by one of the patterns.
    pub fn may_subscribe(&self, selector: &Selector) -> bool {
        self.subscribe.iter().any(|granted| match selector {
            Selector::Channel(name) => name.is_in(granted),
            Selector::Pattern(asked) => granted.covers(asked),
        })
    }

    /// The filter of a reader who asks for this one: what the grant leaves the holder to see is all
    /// that it sees. `Err` names an attribute of which it asks for more.
    pub fn narrow<'a>(&self, asked: &'a Filter) -> Result<Filter, &'a str> {
        let mut filter = asked.clone();
        for (attribute, granted) in self.filters.terms() {
            match asked.terms().get_key_value(attribute) {
                None => filter.accept(attribute, granted.iter().cloned()),
                Some((_, values)) if values.is_subset(granted) => {}
                Some((attribute, _)) => return Err(attribute),
            }
        }
        Ok(filter)
    }

    pub fn may(&self, right: Right) -> bool {
        self.manage.contains(&right)
    }

    pub fn has_ended(&self, now: UnixMillis) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(subscribe: &[&str]) -> Grant {
        let subscribe = subscribe
            .iter()
            .map(|text| ChannelPattern::parse(text).unwrap())
            .collect();
        Grant {
            subscribe,
            ..Grant::default()
        }
    }

    #[test]
    fn a_pattern_is_allowed_only_if_all_that_it_means_is() {
        let grant = grant(&["orders.*", "news"]);
        let may = |text| grant.may_subscribe(&Selector::parse(text).unwrap());
        assert!(may("orders.eu") && may("orders.*") && may("news"));
        assert!(!may("orders.**") && !may("*") && !may("news.eu") && !may("orders"));
        assert!(
            !grant.may_publish(&ChannelName::parse("news").unwrap()),
            "subscribing is not publishing"
        );
    }

    #[test]
    fn rights_are_given_one_by_one() {
        assert!(Grant::everything().may(Right::Observe));
        assert!(!Grant::default().may(Right::Observe));
    }

    #[test]
    fn a_holder_sees_what_the_grant_leaves_or_less_of_it() {
        let filter = |pairs: &[(&str, &str)]| {
            let mut filter = Filter::default();
            for (attribute, value) in pairs {
                filter.accept(attribute, [(*value).into()]);
            }
            filter
        };
        let grant = Grant {
            filters: filter(&[("tenant", "a"), ("tenant", "b")]),
            ..Grant::default()
        };
        assert_eq!(grant.narrow(&filter(&[])), Ok(grant.filters.clone()));
        let less = filter(&[("tenant", "a"), ("kind", "x")]);
        assert_eq!(grant.narrow(&less), Ok(less.clone()));
        let other = filter(&[("kind", "x")]);
        let both = filter(&[("kind", "x"), ("tenant", "a"), ("tenant", "b")]);
        assert_eq!(grant.narrow(&other), Ok(both));
        for more in [
            filter(&[("tenant", "c")]),
            filter(&[("tenant", "a"), ("tenant", "c")]),
        ] {
            assert_eq!(grant.narrow(&more), Err("tenant"));
        }
        assert_eq!(Grant::default().narrow(&less), Ok(less.clone()));
    }

    #[test]
    fn a_grant_ends_at_its_time() {
        let grant = Grant {
            expires: Some(10),
            ..Grant::default()
        };
        assert!(!grant.has_ended(9) && grant.has_ended(10));
        assert!(!Grant::default().has_ended(u64::MAX));
    }
}
