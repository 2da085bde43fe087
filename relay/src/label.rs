//! Closed sets whose values are labels of metrics and fields of log lines.

/// A value of such a set.
pub trait Label: Copy + PartialEq + 'static {
    /// Every value, once.
    const ALL: &'static [Self];

    /// Stable, in kebab-case: dashboards and alerts are written with it.
    fn label(self) -> &'static str;
}

/// Makes an enum a [`Label`]. The list of all values and the texts come from one place, and the
/// match is exhaustive: a variant that is forgotten here does not compile.
macro_rules! labels {
    ($type:ident { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $crate::label::Label for $type {
            const ALL: &'static [$type] = &[$($type::$variant),+];

            fn label(self) -> &'static str {
                self.as_str()
            }
        }

        impl $type {
            /// As metrics and logs call it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($type::$variant => $text),+
                }
            }
        }
    };
}
pub(crate) use labels;
