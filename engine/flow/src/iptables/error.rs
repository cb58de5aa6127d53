//! Why a dump of a node's rules, or a rule specification, could not be read.

/// A dump or a rule that could not be read, with the line that shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct ParseError {
    /// The 1-based line of the text; for a single rule specification, 1.
    pub line: usize,
    /// What is wrong there.
    pub kind: ParseErrorKind,
}

impl ParseError {
    /// The stable, machine-readable code of the error.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}

/// What is wrong on a line of a dump or in a rule specification.
///
/// Values taken from the text are kept short and shown escaped, because a dump
/// comes from a node that may be hostile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// A line longer than `iptables-restore` itself could have read.
    #[error("{length} bytes long, more than the {limit} iptables can write; read the dump again")]
    LineTooLong {
        /// The length of the line, in bytes.
        length: usize,
        /// The longest line accepted, in bytes.
        limit: usize,
    },
    /// A rule, chain or `COMMIT` before any `*table` line.
    #[error("{text:?} stands outside a table; the beginning of the dump is missing")]
    OutsideTable {
        /// The beginning of the line.
        text: String,
    },
    /// A table that is not ended by `COMMIT`.
    #[error(
        "table {table:?} is not ended by COMMIT; the dump is cut short, read it again in pieces"
    )]
    MissingCommit {
        /// The table that was open.
        table: String,
    },
    /// A dump whose `# Generated` line has no `# Completed` line.
    #[error("the dump that starts here has no `# Completed` line; it is cut short")]
    Truncated,
    /// A table name the kernel does not have.
    #[error("unknown table {name:?}; known are raw, mangle, nat, filter and security")]
    UnknownTable {
        /// The name as written.
        name: String,
    },
    /// The same table twice, as when the dumps of two backends are joined.
    #[error("table {name:?} a second time; give each backend's and family's dump on its own")]
    DuplicateTable {
        /// The table's name.
        name: String,
    },
    /// A chain declared twice in a table.
    #[error("chain {chain:?} is declared a second time")]
    DuplicateChain {
        /// The chain's name.
        chain: String,
    },
    /// A chain that the table does not declare.
    #[error("chain {chain:?} is not declared in table {table:?}")]
    UnknownChain {
        /// The chain that was named.
        chain: String,
        /// The table it was looked for in.
        table: String,
    },
    /// A chain declaration whose policy does not fit the chain.
    #[error(
        "policy {policy:?} does not fit chain {chain:?}; a built-in chain has ACCEPT or DROP, another has -"
    )]
    BadPolicy {
        /// The chain.
        chain: String,
        /// The policy as written.
        policy: String,
    },
    /// Counters that are not `[packets:bytes]`.
    #[error("counters {text:?} are not [packets:bytes]")]
    BadCounters {
        /// The counters as written.
        text: String,
    },
    /// A quotation that never ends.
    #[error("a quotation mark is not closed")]
    UnterminatedQuote,
    /// A number that is not one, or is out of its field's range.
    #[error("{value:?} is not a valid {field}")]
    BadNumber {
        /// What the number stands for.
        field: &'static str,
        /// The value as written.
        value: String,
    },
    /// An address or prefix that cannot be read in the ruleset's family.
    #[error("{value:?} is not an address, prefix or range of this ruleset's family")]
    BadAddress {
        /// The value as written.
        value: String,
    },
    /// An option without the value it needs.
    #[error("option {option:?} has no value")]
    MissingValue {
        /// The option.
        option: String,
    },
    /// A word where none was expected.
    #[error("unexpected {token:?}")]
    UnexpectedToken {
        /// The word as written.
        token: String,
    },
    /// A command other than appending a rule.
    #[error("command {command:?} is not one that iptables-save writes")]
    UnsupportedCommand {
        /// The command.
        command: String,
    },
    /// A dump of the other address family.
    #[error("the dump says it was written by {program:?}, which is the other address family")]
    WrongFamily {
        /// The program named in the dump's header.
        program: String,
    },
    /// Chains that jump in a circle; the kernel refuses those.
    #[error("chain {chain:?} is reached from itself")]
    ChainLoop {
        /// One chain of the circle.
        chain: String,
    },
}

impl ParseErrorKind {
    /// The stable, machine-readable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::LineTooLong { .. } => "line_too_long",
            Self::OutsideTable { .. } => "outside_table",
            Self::MissingCommit { .. } => "missing_commit",
            Self::Truncated => "truncated_dump",
            Self::UnknownTable { .. } => "unknown_table",
            Self::DuplicateTable { .. } => "duplicate_table",
            Self::DuplicateChain { .. } => "duplicate_chain",
            Self::UnknownChain { .. } => "unknown_chain",
            Self::BadPolicy { .. } => "bad_policy",
            Self::BadCounters { .. } => "bad_counters",
            Self::UnterminatedQuote => "unterminated_quote",
            Self::BadNumber { .. } => "bad_number",
            Self::BadAddress { .. } => "bad_address",
            Self::MissingValue { .. } => "missing_value",
            Self::UnexpectedToken { .. } => "unexpected_token",
            Self::UnsupportedCommand { .. } => "unsupported_command",
            Self::WrongFamily { .. } => "wrong_family",
            Self::ChainLoop { .. } => "chain_loop",
        }
    }

    pub(crate) fn at(self, line: usize) -> ParseError {
        ParseError { line, kind: self }
    }
}

/// Shortens a value quoted in an error, so that an error stays small whatever
/// the input was.
pub(crate) fn excerpt(text: &str) -> String {
    const LIMIT_CHARACTERS: usize = 80;
    match text.char_indices().nth(LIMIT_CHARACTERS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
