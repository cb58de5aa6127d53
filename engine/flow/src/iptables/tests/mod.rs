//! Tests of rulesets as iptables writes them: read, printed, decided.

mod decide;
mod delta;
mod edit;
mod parse;
mod sharing;
