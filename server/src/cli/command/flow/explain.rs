//! `naosu flow explain`.

use naosu_engine::Error;
use naosu_flow::{
    delta::UnknownAtom,
    nsg::{AdminPolicy, TagContext},
    path::follow_path,
    policy::Verdict,
    set::{AnalysisTooComplex, Direction, FlowBox, Membership, Packet, Space},
};

use super::{
    answer::{Explanation, HopExplanation, HopRule, HopVerdict, SetExplanation, StoppingRule},
    asked::Asked,
    between,
    hop::Hop,
    machine::Machine,
    node::{self, Way},
    parameter::invalid,
    read,
    stays::Staying,
    too_complex,
};
use crate::cli::args::ExplainArgs;

/// What happens to the packets, and why.
pub enum Explained {
    /// Of one packet.
    Packet(Explanation),
    /// Of several.
    Set(SetExplanation),
}

/// What happens to the packets, and why.
pub fn explain(args: &ExplainArgs) -> Result<Explained, Error> {
    let asked = Asked::of(&args.packets)?;
    let machines = machines(args)?;
    let tags = read::tags(&args.network)?;
    let rules = AdminRules::read(args, &tags)?;
    let staying = Staying::of(&asked);
    let hops = hops(args, &machines, &staying, &tags, &rules)?;
    if hops.is_empty() {
        return Err(invalid(
            "no rules are given",
            "give --nsg, --subnet-nsg, --nic-nsg, --admin-rules, --iptables, --ip6tables or \
             --ufw-status",
        ));
    }
    let mut notes = notes(&machines, &asked, &staying);
    notes.extend(hops.iter().flat_map(|hop| hop.notes.clone()));
    let explained = match &asked {
        Asked::Packet(packet) => of_packet(packet, &hops, notes).map(Explained::Packet),
        Asked::Set(boxes) => of_set(boxes, &hops, notes).map(Explained::Set),
    };
    explained.map_err(|error| too_complex(&error))
}

/// The machines whose rules are given, in the order packets come to them.
struct Machines<'a> {
    source: Option<Machine<'a>>,
    given: Machine<'a>,
}

impl<'a> Machines<'a> {
    fn all(&self) -> impl Iterator<Item = &Machine<'a>> {
        self.source.iter().chain([&self.given])
    }
}

fn machines(args: &ExplainArgs) -> Result<Machines<'_>, Error> {
    let source = Machine::source(&args.source);
    let is_whole_way = source.is_given()
        || args.source.from_admin_rules.is_some()
        || between::is_given(&args.between);
    let way = match Direction::from(args.packets.direction) {
        Direction::Inbound => Way::In,
        Direction::Outbound => Way::Out,
        Direction::Forwarded => Way::Through,
    };
    if is_whole_way && way != Way::In {
        let direction = match way {
            Way::Through => "forwarded",
            Way::In | Way::Out | Way::FromPod => "outbound",
        };
        return Err(invalid(
            format!("--direction {direction} does not go with the rules of a whole way"),
            "give the source's rules as --from-..., and the destination's without --direction",
        ));
    }
    if way == Way::Through {
        only_passed_on(args)?;
    }
    let mut given = Machine::given(args, way);
    if is_whole_way {
        given.whose = " of the destination";
    }
    Ok(Machines {
        source: is_whole_way.then_some(source),
        given,
    })
}

/// Refuses what has no say over packets that a node passes on.
fn only_passed_on(args: &ExplainArgs) -> Result<(), Error> {
    let options = [
        ("--nsg", args.nsg.is_some()),
        ("--subnet-nsg", args.subnet_nsg.is_some()),
        ("--nic-nsg", args.nic_nsg.is_some()),
        ("--admin-rules", args.admin_rules.file.is_some()),
        ("--socket-mark", args.node.socket_mark.is_some()),
    ];
    if let Some((option, _)) = options.into_iter().find(|(_, is_given)| *is_given) {
        return Err(invalid(
            format!("{option} does not go with --direction forwarded"),
            "what a node passes on is asked of --iptables or --ip6tables alone; to Azure, it \
             comes in to one machine and goes out of another",
        ));
    }
    match args.node.interface {
        None => Ok(()),
        Some(_) => Err(invalid(
            "--interface does not go with --direction forwarded",
            "what a node passes on has two: give --in-interface and --out-interface",
        )),
    }
}

/// The security admin rules of both sides; a network without such rules answers with
/// an empty list, which was given too.
struct AdminRules {
    given: Option<AdminPolicy>,
    source: Option<AdminPolicy>,
    none: AdminPolicy,
}

impl AdminRules {
    fn read(args: &ExplainArgs, tags: &TagContext) -> Result<Self, Error> {
        let read = |path: &Option<_>| {
            let path = path.as_ref();
            path.map(|path| read::admin_rules(Some(path), tags))
                .transpose()
        };
        Ok(Self {
            given: read(&args.admin_rules.file)?,
            source: read(&args.source.from_admin_rules)?,
            none: AdminPolicy::default(),
        })
    }

    fn of_source(&self) -> Option<&AdminPolicy> {
        self.source.as_ref().or(self.given.as_ref())
    }
}

/// The rules that were given, in the order the packets meet them.
fn hops<'a>(
    args: &ExplainArgs,
    machines: &Machines<'a>,
    staying: &Staying,
    tags: &TagContext,
    rules: &'a AdminRules,
) -> Result<Vec<Hop<'a>>, Error> {
    let mut aside = staying.by_address();
    for machine in machines.all() {
        aside.extend(machine.staying(staying)?);
    }
    let mut hops = Vec::new();
    if let Some(source) = &machines.source {
        let admin = rules.of_source();
        let before_groups = admin.unwrap_or(&rules.none);
        hops.extend(source.hops(tags, admin, before_groups, staying, &aside)?);
        hops.extend(between::hops(&args.between, &args.network, tags, &aside)?);
    }
    let admin = rules.given.as_ref();
    let before_groups = admin.unwrap_or(&rules.none);
    hops.extend(
        machines
            .given
            .hops(tags, admin, before_groups, staying, &aside)?,
    );
    Ok(hops)
}

/// What the answer takes for granted.
fn notes(machines: &Machines<'_>, asked: &Asked, staying: &Staying) -> Vec<String> {
    let mut takes_two_machines = false;
    let mut notes = Vec::new();
    for machine in machines.all().filter(|machine| machine.has_firewall()) {
        let (option, whose) = (machine.option, machine.whose);
        if machine.nft_tables.is_none() {
            notes.push(format!(
                "of the node{whose}, only what iptables-save shows was judged: its other tables \
                 of nftables may stop packets, too; give {option}nft-tables"
            ));
        }
        let is_told = node::is_interface_told(&machine.node) || !machine.node.addresses.is_empty();
        if !is_told && machine.way != Way::Through && !staying.is_all() {
            takes_two_machines = true;
            let packets = match asked {
                Asked::Packet(_) => "the packet is taken for one",
                Asked::Set(_) => "packets are taken for those",
            };
            let which = match machine.way {
                Way::FromPod => "to",
                Way::In | Way::Out | Way::Through => "between two addresses of",
            };
            notes.push(format!(
                "{packets} between two machines; give every {option}node-address, so that one \
                 {which} the node{whose} is known"
            ));
        }
    }
    if staying.has_more && !takes_two_machines {
        notes.push(
            "packets from an address to itself stay on their machine and meet no rule outside of \
             it; here they are judged like the others"
                .to_owned(),
        );
    }
    notes
}

fn of_packet(
    packet: &Packet,
    hops: &[Hop<'_>],
    notes: Vec<String>,
) -> Result<Explanation, AnalysisTooComplex> {
    let mut space = Space::new();
    let on_path: Vec<_> = hops.iter().map(Hop::on_path).collect();
    let path = follow_path(&mut space, &on_path, &[FlowBox::one(packet)])?;
    let mut explained = Vec::with_capacity(hops.len());
    for (hop, answered) in hops.iter().zip(&path.hops) {
        let here = answered.decisions.answer(&mut space, packet)?;
        let rules = hop.deciding(&mut space, &answered.decisions, packet, &here.rules)?;
        explained.push(HopExplanation {
            hop: hop.name.clone(),
            verdict: here.verdict,
            rules,
        });
    }
    let unknown = match space.contains(path.partition.passing, packet) {
        Membership::Yes | Membership::No => Vec::new(),
        Membership::Depends(atoms) => atoms
            .into_iter()
            .filter_map(|atom| space.atom_of(atom))
            .map(|atom| UnknownAtom {
                name: atom.name.clone(),
                reason: atom.reason.clone(),
            })
            .collect(),
    };
    let verdict = path.verdict();
    let alike = hops.iter().all(|hop| hop.direction == packet.direction);
    Ok(Explanation {
        packet: match alike {
            true => packet.to_string(),
            false => packet.between_ends(),
        },
        verdict,
        deciding_rules: deciding_rules(verdict, &explained),
        unknown,
        hops: explained,
        notes,
    })
}

fn of_set(
    boxes: &[FlowBox],
    hops: &[Hop<'_>],
    notes: Vec<String>,
) -> Result<SetExplanation, AnalysisTooComplex> {
    let mut space = Space::new();
    let on_path: Vec<_> = hops.iter().map(Hop::on_path).collect();
    let path = follow_path(&mut space, &on_path, boxes)?;
    let report = path.report(&mut space)?;
    let mut stops = Vec::with_capacity(path.stops.len());
    for (stop, told) in path.stops.iter().zip(report.stops) {
        let Some(hop) = hops.get(stop.place) else {
            continue;
        };
        stops.push(StoppingRule {
            rule: hop.stopping(stop),
            part: told.part,
        });
    }
    Ok(SetExplanation {
        asked: boxes.iter().map(|flow| told(flow, hops)).collect(),
        verdict: report.verdict,
        stops,
        allowed: report.allowed,
        denied: report.denied,
        unknown: report.unknown,
        atoms: report.atoms,
        hops: report
            .hops
            .into_iter()
            .map(|hop| HopVerdict {
                hop: hop.name,
                verdict: hop.verdict,
            })
            .collect(),
        notes,
    })
}

/// A box in words; which way it goes only where that is the same all the way.
fn told(flow: &FlowBox, hops: &[Hop<'_>]) -> String {
    let is_alike = hops.iter().all(|hop| flow.directions().eq([hop.direction]));
    match is_alike {
        true => flow.to_string(),
        false => FlowBox {
            directions: FlowBox::any().directions,
            ..flow.clone()
        }
        .to_string(),
    }
}

/// Where every hop lets the packet pass, the last that says so itself decides;
/// where one certainly does not, that one; else all of which it is not known.
fn deciding_rules(verdict: Verdict, hops: &[HopExplanation]) -> Vec<HopRule> {
    let decides = |hop: &&HopExplanation| hop.rules.iter().any(|rule| !rule.hands_on);
    let deciding = match verdict {
        Verdict::Allow => hops.iter().rfind(decides).or(hops.last()),
        Verdict::Deny => hops.iter().find(|hop| hop.verdict == Verdict::Deny),
        Verdict::Unknown => None,
    };
    match deciding {
        Some(hop) => hop.rules.clone(),
        None => rules_of_all(hops.iter().filter(|hop| hop.verdict != Verdict::Allow)),
    }
}

/// The rules of several hops, each once. A group shows the security admin rules that
/// come before it, and stands for what those leave to it.
fn rules_of_all<'a>(hops: impl Iterator<Item = &'a HopExplanation>) -> Vec<HopRule> {
    let mut all: Vec<HopRule> = Vec::new();
    for rule in hops.flat_map(|hop| &hop.rules) {
        if !all.contains(rule) {
            all.push(rule.clone());
        }
    }
    let handing_on = all.iter().find(|rule| rule.hands_on);
    let is_left_to_another =
        handing_on.is_some_and(|handing_on| all.iter().any(|rule| rule.hop != handing_on.hop));
    if is_left_to_another {
        all.retain(|rule| !rule.hands_on);
    }
    all
}
