//! What a rule does with the packets it matches.

use super::condition::Extension;

/// What a rule does with a packet that meets its conditions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// No target: the rule only counts.
    None,
    /// The packet passes this table.
    Accept,
    /// The packet is dropped.
    Drop,
    /// The packet is refused with an answer.
    Reject(Extension),
    /// Back to the rule after the jump that led here.
    Return,
    /// Into a chain, and back here when it ends.
    Jump(String),
    /// Into a chain, and when it ends back to where this chain was jumped from.
    Goto(String),
    /// The packet's mark becomes `(mark & !mask) ^ value`; the rule after is next.
    SetMark {
        /// Bits to flip after clearing.
        value: u32,
        /// Bits to clear.
        mask: u32,
    },
    /// The packet's address or port is rewritten (`DNAT`, `MASQUERADE` …).
    Translate(Extension),
    /// A known target after which the next rule is consulted (`LOG` …).
    Continue(Extension),
    /// A target that may end the packet's way or not; what it does is not modelled.
    Unmodelled(Extension),
}

impl Target {
    /// The chain a rule leads to.
    pub fn chain(&self) -> Option<&str> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            _ => None,
        }
    }

    /// What a target of that name is, once it is known to be no chain. `None`
    /// for a name that neither iptables nor xtables-addons knows.
    pub(crate) fn of_extension(extension: Extension) -> Option<Self> {
        Some(match extension.name.as_str() {
            "REJECT" => Self::Reject(extension),
            "DNAT" | "SNAT" | "MASQUERADE" | "REDIRECT" | "NETMAP" => Self::Translate(extension),
            "AUDIT" | "CHECKSUM" | "CLASSIFY" | "CONNMARK" | "CONNSECMARK" | "CT" | "DSCP"
            | "ECN" | "HL" | "HMARK" | "IDLETIMER" | "LED" | "LOG" | "MARK" | "NFLOG"
            | "NOTRACK" | "RATEEST" | "SECMARK" | "SET" | "TCPMSS" | "TCPOPTSTRIP" | "TEE"
            | "TOS" | "TRACE" | "TTL" | "ULOG" => Self::Continue(extension),
            "ACCOUNT" | "CHAOS" | "CLUSTERIP" | "DELUDE" | "DHCPMAC" | "DNETMAP" | "DNPT"
            | "ECHO" | "IPMARK" | "LOGMARK" | "NFQUEUE" | "PROTO" | "QUEUE" | "RAWDNAT"
            | "RAWSNAT" | "SNPT" | "STEAL" | "SYNPROXY" | "SYSRQ" | "TARPIT" | "TPROXY" => {
                Self::Unmodelled(extension)
            }
            _ => return None,
        })
    }
}
