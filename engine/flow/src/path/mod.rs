//! The way of a connection through several policies: for the tunnel, the
//! agent's groups outbound, the node's groups inbound, the node's firewall, the
//! kubelet.

mod report;
mod translations;

pub use report::{HopReport, PartReport, PathReport, StopReport};

use self::translations::Translations;
use crate::policy::{DecidingRule, Decisions, Partition, Policy, Verdict};
use crate::set::{
    AnalysisTooComplex, ConnectionState, Direction, FlowBox, Packet, PacketSet, Space,
};

/// One policy on the way.
#[derive(Clone, Copy)]
pub struct Hop<'a> {
    /// What people call this place.
    pub name: &'a str,
    /// Which way packets go as this policy sees them.
    pub direction: Direction,
    /// The policy.
    pub policy: &'a dyn Policy,
}

/// What one hop does with the packets of the question, whether or not they
/// reach it.
#[derive(Debug, Clone)]
pub struct HopAnswer {
    /// The hop.
    pub name: String,
    /// Its decisions, no longer asking the direction, about packets with the addresses
    /// that the question gives them: what a hop before makes of them is decided here.
    pub decisions: Decisions,
    /// The packets of the question by its verdict.
    pub partition: Partition,
}

/// Where packets of the question are stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The hop.
    pub hop: String,
    /// Its place among the hops.
    pub place: usize,
    /// The rule.
    pub rule: DecidingRule,
    /// The rule's place among those of the hop's decisions.
    pub index: usize,
    /// The packets that get there and no further, with the atoms that decides
    /// on.
    pub part: PacketSet,
}

/// What happens on the way.
#[derive(Debug, Clone)]
pub struct PathAnswer {
    /// Every hop, in order.
    pub hops: Vec<HopAnswer>,
    /// The packets of the question, by what happens to them on the whole way.
    pub partition: Partition,
    /// Every rule that stops some of them, in the order they meet it.
    pub stops: Vec<Stop>,
    /// Which way all packets go, where every hop sees them go the same way.
    direction: Option<Direction>,
}

impl PathAnswer {
    /// What becomes of the whole question: denied when some packet is certainly
    /// stopped, unknown when some may be.
    pub fn verdict(&self) -> Verdict {
        if !self.partition.denied.is_empty() {
            Verdict::Deny
        } else if !self.partition.unknown.is_empty() {
            Verdict::Unknown
        } else {
            Verdict::Allow
        }
    }

    /// The first hop and rule that stop, or may stop, packets of the question.
    pub fn first_stop(&self) -> Option<&Stop> {
        self.stops.first()
    }
}

/// Follows the new connections of all the boxes through the hops, each of which sees
/// them in its own direction, and with the addresses that those before it give them.
/// Where it is not known which those are, and that matters, nothing is certain.
///
/// # Errors
/// [`AnalysisTooComplex`], naming the rules of the hop that was too much.
pub fn follow_path(
    space: &mut Space,
    hops: &[Hop<'_>],
    required: &[FlowBox],
) -> Result<PathAnswer, AnalysisTooComplex> {
    let mut question = PacketSet::EMPTY;
    for flow in required {
        // The direction belongs to each hop, not to the question.
        let flow = FlowBox {
            directions: FlowBox::any().directions,
            ..flow.clone().with_state(ConnectionState::New)
        };
        let packets = space.flow(&flow)?;
        question = space.union(question, packets)?;
    }
    follow(space, hops, question)
}

fn follow(
    space: &mut Space,
    hops: &[Hop<'_>],
    question: PacketSet,
) -> Result<PathAnswer, AnalysisTooComplex> {
    let mut answers = Vec::with_capacity(hops.len());
    let mut stops = Vec::new();
    let mut translations = Translations::none(question);
    let mut arriving = question;
    for (place, hop) in hops.iter().enumerate() {
        let within = translations.coming(space, question, hop.direction)?;
        let decided = hop.policy.decide(space, within)?;
        let decided = decided.facing(space, hop.direction);
        let decisions = match translations.is_none() {
            true => decided.clone(),
            false => {
                let about = (hop.policy.name(), question);
                translations.before(space, &decided, about)?
            }
        };
        translations.take_up(space, decided.translated())?;
        for block in decisions.blocks(space)? {
            let part = space.intersection(block.part, arriving)?;
            if !part.is_empty() {
                stops.push(Stop {
                    hop: hop.name.to_owned(),
                    place,
                    rule: block.rule,
                    index: block.index,
                    part,
                });
            }
        }
        let passing = decisions.allowed(space)?;
        arriving = space.intersection(arriving, passing)?;
        answers.push(HopAnswer {
            name: hop.name.to_owned(),
            partition: decisions.partition(space)?,
            decisions,
        });
    }
    Ok(PathAnswer {
        hops: answers,
        partition: Partition::new(space, question, arriving)?,
        stops,
        direction: match hops {
            [first, others @ ..] => {
                let alike = others.iter().all(|hop| hop.direction == first.direction);
                alike.then_some(first.direction)
            }
            [] => None,
        },
    })
}

/// What happens to one packet: the first hop that does not certainly let it
/// pass, or the last hop.
///
/// # Errors
/// [`AnalysisTooComplex`].
pub fn follow_packet(
    space: &mut Space,
    hops: &[Hop<'_>],
    packet: &Packet,
) -> Result<Option<(String, crate::policy::PacketAnswer)>, AnalysisTooComplex> {
    let flow = FlowBox {
        directions: FlowBox::any().directions,
        ..FlowBox::one(packet)
    };
    let question = space.flow(&flow)?;
    let mut last = None;
    for hop in follow(space, hops, question)?.hops {
        let answer = hop.decisions.answer(space, packet)?;
        let passes = answer.verdict == Verdict::Allow;
        last = Some((hop.name, answer));
        if !passes {
            break;
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests;
