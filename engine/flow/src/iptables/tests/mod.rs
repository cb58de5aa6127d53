//! Tests of rulesets as iptables writes them: read, printed, decided.

mod decide;
mod edit;
mod parse;
mod sharing;
