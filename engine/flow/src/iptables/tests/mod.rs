//! Tests of rulesets as iptables writes them: read, printed, decided.

mod decide;
mod delta;
mod edit;
mod forwarded;
mod parse;
mod sharing;
