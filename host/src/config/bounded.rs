//! Numbers that can be set: one table makes the type, its defaults and its settings.

use std::time::Duration;

/// A number of `T` that can be set.
pub struct Number<T: 'static> {
    /// Its key, with its table: `limits.backlog_max`.
    pub key: &'static str,
    /// What it counts.
    pub unit: &'static str,
    /// The least it can be set to.
    pub least: u64,
    /// The most.
    pub most: u64,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// What it is, in its unit.
    pub get: fn(&T) -> u64,
    /// Sets it, in its unit.
    pub set: fn(&mut T, u64),
}

/// What a number in a unit is to the code.
pub(super) trait Amount {
    fn of(number: u64, unit: &str) -> Self;
    fn number(&self, unit: &str) -> u64;
}

macro_rules! whole {
    ($($type:ty),*) => {
        $(impl Amount for $type {
            fn of(number: u64, _: &str) -> Self {
                number.try_into().unwrap_or(Self::MAX)
            }

            fn number(&self, _: &str) -> u64 {
                (*self).try_into().unwrap_or(u64::MAX)
            }
        })*
    };
}

whole!(u8, u32, u64, usize);

impl Amount for Duration {
    fn of(number: u64, unit: &str) -> Self {
        Self::from_millis(number.saturating_mul(millis_of(unit)))
    }

    fn number(&self, unit: &str) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX) / millis_of(unit)
    }
}

fn millis_of(unit: &str) -> u64 {
    match unit {
        "milliseconds" => 1,
        "days" => 24 * 3600 * 1000,
        _ => 1000,
    }
}

/// Of each line: the field, its key in the file, its type, its default in its unit, the unit, the bounds. What follows `+` is no number.
macro_rules! bounded {
    ($(#[$meta:meta])* $name:ident in $table:literal {
        $($(#[doc = $doc:literal])* $field:ident as $key:literal: $type:ty = $default:expr, $unit:literal, $least:literal to $most:expr;)*
        $(+ $(#[doc = $more_doc:literal])* $more:ident: $more_type:ty = $more_default:expr;)*
    }) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[doc = $doc])* pub $field: $type,)*
            $($(#[doc = $more_doc])* pub $more: $more_type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: Amount::of($default, $unit),)*
                    $($more: $more_default,)*
                }
            }
        }

        impl $name {
            /// All its numbers.
            pub const NUMBERS: &'static [Number<Self>] = &[$(Number {
                key: concat!($table, ".", $key),
                unit: $unit,
                least: $least,
                most: $most,
                about: concat!($($doc),*).trim_ascii_start(),
                get: |this| this.$field.number($unit),
                set: |this, number| this.$field = Amount::of(number, $unit),
            },)*];
        }
    };
}

pub(super) use bounded;

pub(super) const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;
pub(super) const GIB: u64 = 1024 * MIB;
pub(super) const DAY: u64 = 24 * 3600;
