//! When a request is tried again, and after how long.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use jiff::Timestamp;

use crate::drivers::config::{RetryConfig, ms};

/// The tries that are left of one request.
pub struct Retries {
    delays: ExponentialBackoff,
    delay_limit: Duration,
}

impl Retries {
    /// All tries of `config`, the first taken.
    pub fn new(config: &RetryConfig) -> Self {
        Self {
            delays: ExponentialBuilder::new()
                .with_min_delay(ms(config.base_delay_ms))
                .with_max_delay(ms(config.delay_limit_ms))
                .with_max_times(config.attempts.saturating_sub(1) as usize)
                .with_jitter()
                .build(),
            delay_limit: ms(config.delay_limit_ms),
        }
    }

    /// How long to wait before the next try; `None` when there is none, or when
    /// the peer asks for a longer wait than is allowed.
    pub fn next_delay(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        let own = self.delays.next()?;
        match retry_after {
            // The jitter goes on top, so that many clients told the same number
            // do not come back at the same moment.
            Some(asked) if asked <= self.delay_limit => Some(asked + own.mul_f64(0.1)),
            Some(_) => None,
            None => Some(own),
        }
    }
}

/// Reads a `Retry-After` value: seconds, or an HTTP date. Nonsense is `None`; a
/// date that has passed is no wait.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    let wait = at.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_both_understood() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let seconds = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("17"), Some(17));
        assert_eq!(seconds("Thu, 01 Jan 2026 00:00:42 GMT"), Some(42));
        assert_eq!(seconds("Wed, 31 Dec 2025 23:59:00 GMT"), Some(0));
        for nonsense in ["", "-1", "soon", "1.5"] {
            assert_eq!(seconds(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn tries_are_bounded_and_a_wait_too_long_ends_them() {
        let config = RetryConfig {
            attempts: 3,
            base_delay_ms: 1,
            delay_limit_ms: 1_000,
        };
        let mut retries = Retries::new(&config);
        assert!(
            retries
                .next_delay(Some(Duration::from_millis(900)))
                .unwrap()
                >= Duration::from_millis(900)
        );
        assert!(retries.next_delay(None).is_some());
        assert_eq!(retries.next_delay(None), None);
        let mut retries = Retries::new(&config);
        assert_eq!(retries.next_delay(Some(Duration::from_secs(2))), None);
    }

    #[test]
    fn delays_differ_between_clients_within_their_bounds() {
        let config = RetryConfig::default();
        let first_delay = || Retries::new(&config).next_delay(None);
        let delays: std::collections::BTreeSet<Duration> = std::iter::repeat_with(first_delay)
            .take(32)
            .flatten()
            .collect();
        assert!(delays.len() > 16, "{delays:?}");
        let base = ms(config.base_delay_ms);
        assert!(delays.iter().all(|delay| (base..=base * 2).contains(delay)));
        let asked = Duration::from_secs(1);
        let told = || Retries::new(&config).next_delay(Some(asked));
        let waits: std::collections::BTreeSet<Duration> =
            std::iter::repeat_with(told).take(32).flatten().collect();
        assert!(waits.len() > 16, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait >= asked));
    }
}
