//! The rules of one machine: its security groups and its node's firewall.

use std::path::PathBuf;

use naosu_engine::Error;
use naosu_flow::{
    iptables::{Backend, Family, Hook, InterfaceKnowledge, NodeFirewall, Ruleset},
    nsg::{AdminPolicy, TagContext},
    set::{Direction, FlowBox},
};

use super::{
    hop::{Hop, NodePart, NodeRules, Rules},
    node::{self, Way},
    parameter::invalid,
    read,
    stays::Staying,
    ufw::UfwFiles,
};
use crate::cli::args::{ExplainArgs, KnownNode, SourceArgs};

/// The files of one machine, and the options that named them.
pub struct Machine<'a> {
    /// What its options begin with: "--" or "--from-".
    pub option: &'static str,
    /// Said after the name of each of its hops.
    pub whose: &'static str,
    /// How packets pass its node.
    pub way: Way,
    nsg: &'a Option<PathBuf>,
    subnet_nsg: &'a Option<PathBuf>,
    nic_nsg: &'a Option<PathBuf>,
    /// Outputs of iptables-save.
    pub iptables: &'a [PathBuf],
    /// Outputs of ip6tables-save.
    pub ip6tables: &'a [PathBuf],
    /// Output of `nft list tables`.
    pub nft_tables: &'a Option<PathBuf>,
    /// What ufw says of itself there.
    pub ufw: UfwFiles<'a>,
    /// What is known of its node.
    pub node: KnownNode,
}

impl<'a> Machine<'a> {
    /// The machine whose options have no prefix.
    pub fn given(args: &'a ExplainArgs, way: Way) -> Self {
        Self {
            option: "--",
            whose: "",
            way,
            nsg: &args.nsg,
            subnet_nsg: &args.subnet_nsg,
            nic_nsg: &args.nic_nsg,
            iptables: &args.iptables,
            ip6tables: &args.ip6tables,
            nft_tables: &args.nft_tables,
            ufw: UfwFiles {
                status: args.ufw.status.as_deref(),
                added: args.ufw.added.as_deref(),
                user_rules: args.ufw.user_rules.as_deref(),
                user6_rules: args.ufw.user6_rules.as_deref(),
            },
            node: args.node.clone(),
        }
    }

    /// The machine that packets come from.
    pub fn source(args: &'a SourceArgs) -> Self {
        Self {
            option: "--from-",
            whose: " of the source",
            way: match args.from_pod {
                true => Way::FromPod,
                false => Way::Out,
            },
            nsg: &args.from_nsg,
            subnet_nsg: &args.from_subnet_nsg,
            nic_nsg: &args.from_nic_nsg,
            iptables: &args.from_iptables,
            ip6tables: &args.from_ip6tables,
            nft_tables: &args.from_nft_tables,
            ufw: UfwFiles {
                status: args.from_ufw_status.as_deref(),
                added: args.from_ufw_added.as_deref(),
                user_rules: args.from_ufw_user_rules.as_deref(),
                user6_rules: args.from_ufw_user6_rules.as_deref(),
            },
            node: KnownNode {
                addresses: args.from_addresses.clone(),
                interface: args.from_interface.clone(),
                in_interface: None,
                out_interface: None,
                socket_mark: args.from_socket_mark.clone(),
            },
        }
    }

    /// Whether any rule of it is given, or a part of what is known of it.
    pub fn is_given(&self) -> bool {
        let groups = [self.nsg, self.subnet_nsg, self.nic_nsg];
        groups.into_iter().any(Option::is_some)
            || self.has_node_rules()
            || self.nft_tables.is_some()
            || self.way == Way::FromPod
            || node::is_told(&self.node)
    }

    /// Whether rules of its node are given, or what ufw says of them.
    pub fn has_node_rules(&self) -> bool {
        self.has_firewall() || self.ufw.is_given()
    }

    /// Whether rules of its node are given.
    pub fn has_firewall(&self) -> bool {
        !(self.iptables.is_empty() && self.ip6tables.is_empty())
    }

    /// Its rules in the order packets meet them; Azure asks its security admin rules
    /// before any group, in both directions. What stays on its machine (`aside`) meets
    /// no rule of Azure's.
    pub fn hops(
        &self,
        tags: &TagContext,
        admin: Option<&'a AdminPolicy>,
        before_groups: &'a AdminPolicy,
        staying: &Staying,
        aside: &[FlowBox],
    ) -> Result<Vec<Hop<'a>>, Error> {
        let direction = match self.way {
            Way::In => Direction::Inbound,
            Way::Out | Way::FromPod => Direction::Outbound,
            Way::Through => Direction::Forwarded,
        };
        let mut hops = Vec::new();
        for (name, path) in [
            ("security group", self.nsg),
            ("subnet security group", self.subnet_nsg),
            ("interface security group", self.nic_nsg),
        ] {
            let Some(path) = path else { continue };
            let group = read::nsg(path)?;
            let policy = group
                .policy(tags)
                .map_err(|error| read::of_nsg(path, &error))?;
            hops.push(Hop {
                name: self.named(name),
                direction,
                rules: Rules::Group {
                    group: Box::new(group),
                    policy: before_groups.before(policy),
                    admin: before_groups,
                },
                staying: aside.to_vec(),
                notes: Vec::new(),
            });
        }
        if direction == Direction::Outbound {
            hops.reverse();
        }
        if let Some(admin) = admin {
            let admin_rules = Hop {
                name: self.named("security admin rules"),
                direction,
                rules: Rules::Admin(admin),
                staying: aside.to_vec(),
                notes: Vec::new(),
            };
            hops.insert(0, admin_rules);
        }
        let node = match self.firewall()? {
            Some(firewall) => Some(self.node_hop(firewall, staying)?),
            None if self.ufw.is_given() => Some(self.ufw_hop(staying)?),
            None => None,
        };
        if let Some(node) = node {
            match direction {
                Direction::Outbound => hops.insert(0, node),
                Direction::Inbound | Direction::Forwarded => hops.push(node),
            }
        }
        Ok(hops)
    }

    fn node_hop(
        &self,
        (firewall, mut notes): (NodeFirewall, Vec<String>),
        staying: &Staying,
    ) -> Result<Hop<'a>, Error> {
        if self.ufw.is_given() {
            notes.push(format!(
                "what ufw says of the node{} was not asked: the kernel's rules decide",
                self.whose
            ));
        }
        let rest = NodePart {
            packets: FlowBox::any(),
            hook: match self.way {
                Way::FromPod | Way::Through => Hook::Forward,
                Way::In => Hook::Input,
                Way::Out => Hook::Output,
            },
            firewall,
        };
        Ok(Hop {
            name: self.named("node firewall"),
            direction: rest.hook.direction(),
            rules: Rules::Node(NodeRules::new(self.parts(rest, staying)?)),
            staying: match self.way {
                // What stays in the pod does not come to its node.
                Way::FromPod => staying.by_address(),
                // And what stays on the node is not passed on.
                Way::Through => {
                    let mut all = staying.by_address();
                    all.extend(self.staying(staying)?);
                    all
                }
                Way::In | Way::Out => Vec::new(),
            },
            notes,
        })
    }

    /// What ufw says, in place of the kernel's rules.
    fn ufw_hop(&self, staying: &Staying) -> Result<Hop<'a>, Error> {
        let knowledge = node::knowledge(&self.node, self.option, self.way)?;
        let words = self.ufw.words(&knowledge)?;
        let mut notes = words.notes;
        notes.push(format!(
            "of the node{}, only what ufw says was judged: the kernel may have other rules, and \
             files in /etc/ufw may say otherwise; give {1}iptables or {1}ip6tables",
            self.whose, self.option
        ));
        Ok(Hop {
            name: self.named("ufw"),
            direction: match self.way {
                Way::In => Direction::Inbound,
                Way::Out => Direction::Outbound,
                Way::FromPod | Way::Through => Direction::Forwarded,
            },
            rules: Rules::Ordered(Box::new(words.policy)),
            // The rules that ufw ships let all pass that the loopback carries.
            staying: staying.on_loopback(&node::own(&self.node, self.option)?),
            notes,
        })
    }

    /// Packets that stay on this machine by what is told of its addresses.
    pub fn staying(&self, staying: &Staying) -> Result<Vec<FlowBox>, Error> {
        let own = node::own(&self.node, self.option)?;
        Ok(match self.way {
            Way::FromPod => staying.to(&own),
            Way::In | Way::Out | Way::Through => staying.between(&own),
        })
    }

    /// The firewall as packets meet it that differ from the rest: those that stay on
    /// the node take another interface, or another way.
    fn parts(&self, rest: NodePart, staying: &Staying) -> Result<Vec<NodePart>, Error> {
        let as_met = |packets, hook, interface: Option<InterfaceKnowledge>| {
            let mut firewall = rest.firewall.clone();
            if let Some(interface) = interface {
                firewall.knowledge.in_interface = interface.clone();
                firewall.knowledge.out_interface = interface;
            }
            NodePart {
                packets,
                hook,
                firewall,
            }
        };
        let own = node::own(&self.node, self.option)?;
        let mut parts = Vec::new();
        if self.way == Way::FromPod {
            // The node receives what is for itself, and does not pass it on.
            for packets in staying.to(&own) {
                parts.push(as_met(packets, Hook::Input, None));
            }
        } else if self.way != Way::Through && !node::is_interface_told(&self.node) {
            for packets in staying.on_loopback(&own) {
                let loopback = InterfaceKnowledge::Named("lo".to_owned());
                parts.push(as_met(packets, rest.hook, Some(loopback)));
            }
            // A neighbour may have sent what names the loopback on one side alone.
            for packets in staying.by_address() {
                parts.push(as_met(
                    packets,
                    rest.hook,
                    Some(InterfaceKnowledge::Unknown),
                ));
            }
        }
        parts.push(rest);
        Ok(parts)
    }

    fn named(&self, name: &str) -> String {
        format!("{name}{}", self.whose)
    }

    /// The firewall that is given, with notes of what its files leave open.
    fn firewall(&self) -> Result<Option<(NodeFirewall, Vec<String>)>, Error> {
        let mut rulesets = Vec::new();
        for (option, family, paths) in [
            ("iptables", Family::Ipv4, self.iptables),
            ("ip6tables", Family::Ipv6, self.ip6tables),
        ] {
            let mut seen: Vec<(Backend, &PathBuf)> = Vec::new();
            for path in paths {
                let ruleset = read::ruleset(path, family)?;
                let backend = ruleset.backend.unwrap_or(Backend::Nft);
                if let Some((_, other)) = seen.iter().find(|(known, _)| *known == backend) {
                    return Err(invalid(
                        format!(
                            "{}{option}: {} and {} are rules of the same backend",
                            self.option,
                            other.display(),
                            path.display()
                        ),
                        "give one file of iptables-nft-save and one of iptables-legacy-save",
                    ));
                }
                seen.push((backend, path));
                rulesets.push(ruleset);
            }
        }
        if rulesets.is_empty() {
            return match self.without_rules() {
                None => Ok(None),
                Some(what) => Err(invalid(
                    format!("{what} does not go without rules of the node"),
                    format!(
                        "give what iptables-save or ip6tables-save shows there as {0}iptables or \
                         {0}ip6tables",
                        self.option
                    ),
                )),
            };
        }
        let mut notes: Vec<String> = node::note_of_fragments(&rulesets).into_iter().collect();
        if let Some(path) = self.nft_tables {
            for table in read::nft_tables(path)? {
                if self.leave_unread(&mut rulesets, &table) && table.is_of_iptables() {
                    notes.push(self.not_given(&table));
                }
            }
        }
        let knowledge = node::knowledge(&self.node, self.option, self.way)?;
        Ok(Some((NodeFirewall::new(rulesets, knowledge), notes)))
    }

    /// Notes in the rulesets that a table is there which none of them shows; whether
    /// there was one to note it in.
    fn leave_unread(&self, rulesets: &mut [Ruleset], table: &read::NftTable) -> bool {
        if rulesets.iter().any(|ruleset| table.is_told_in(ruleset)) {
            return false;
        }
        // One of a family's rulesets says it for all.
        let mut told = Vec::new();
        for ruleset in rulesets.iter_mut().filter(|set| table.is_of(set.family)) {
            if !told.contains(&ruleset.family) {
                told.push(ruleset.family);
                ruleset.unreadable_tables.push(table.to_string());
            }
        }
        !told.is_empty()
    }

    /// How to give a table of iptables-nft that is there.
    fn not_given(&self, table: &read::NftTable) -> String {
        let program = match table.is_of(Family::Ipv4) {
            true => "iptables",
            false => "ip6tables",
        };
        format!(
            "the node{} has the nft table {table}, which no given file shows; give \
             {program}-nft-save's output with {}{program}",
            self.whose, self.option
        )
    }

    /// An option that says something of the node's rules, which are not given.
    fn without_rules(&self) -> Option<String> {
        let known = &self.node;
        // ufw's words are asked knowing addresses and interfaces, and say nothing of
        // what the node passes on.
        let is_bare = !self.ufw.is_given();
        let names = [
            ("nft-tables", self.nft_tables.is_some()),
            ("node-address", is_bare && !known.addresses.is_empty()),
            ("interface", is_bare && known.interface.is_some()),
            ("in-interface", is_bare && known.in_interface.is_some()),
            ("out-interface", is_bare && known.out_interface.is_some()),
            ("socket-mark", known.socket_mark.is_some()),
            ("pod", self.way == Way::FromPod),
            ("direction forwarded", self.way == Way::Through),
        ];
        let given = names.into_iter().find(|(_, is_given)| *is_given);
        given.map(|(name, _)| format!("{}{name}", self.option))
    }
}
