//! Numbers that would stop the work, or never end it: each has a range.

use std::ops::RangeInclusive;

use super::Checker;
use crate::{config::sections::RunsSection, drivers::config::RetryConfig};

const SECOND_MS: u64 = 1_000;
const HOUR_MS: u64 = 3_600 * SECOND_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
const DAY_SECONDS: u64 = 24 * 3_600;

/// The longest wait for one answer, or between two tries.
pub(super) const WAIT_MS: RangeInclusive<u64> = 1..=HOUR_MS;

/// The longest wait for someone else, which may be none.
pub(super) const PATIENCE_MS: RangeInclusive<u64> = 0..=DAY_MS;

/// The longest wait for work that Naosu itself began.
pub(super) const WORK_MS: RangeInclusive<u64> = 1..=DAY_MS;

/// The largest answer that is held in memory.
pub(super) const ANSWER_BYTES: RangeInclusive<u64> = 1..=1 << 30;

const ATTEMPTS: RangeInclusive<u64> = 1..=100;
/// None: one look.
const VERIFY_SECONDS: RangeInclusive<u64> = 0..=DAY_SECONDS;

impl Checker {
    pub(super) fn within(&mut self, key: &str, value: u64, range: RangeInclusive<u64>) {
        if !range.contains(&value) {
            let message = format!("is {value}; give {} to {}", range.start(), range.end());
            self.wrong(key, message);
        }
    }

    pub(super) fn runs(&mut self, runs: &RunsSection) {
        let RunsSection {
            verify_for_seconds,
            verify_pause_ms,
            retry_pause_ms,
        } = *runs;
        self.within(
            "runs.verify_for_seconds",
            verify_for_seconds,
            VERIFY_SECONDS,
        );
        self.within("runs.verify_pause_ms", verify_pause_ms, WAIT_MS);
        self.within("runs.retry_pause_ms", retry_pause_ms, WAIT_MS);
    }

    pub(super) fn retry(&mut self, section: &str, retry: &RetryConfig) {
        let RetryConfig {
            attempts,
            base_delay_ms,
            delay_limit_ms,
        } = *retry;
        let key = |name: &str| format!("{section}.{name}");
        self.within(&key("attempts"), attempts.into(), ATTEMPTS);
        self.within(&key("base_delay_ms"), base_delay_ms, WAIT_MS);
        self.within(&key("delay_limit_ms"), delay_limit_ms, WAIT_MS);
    }
}
