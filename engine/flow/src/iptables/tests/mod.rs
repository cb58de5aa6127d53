//! Tests of the parser and the printer on texts as iptables writes them.

mod parse;
