//! Real ufw commands in a host of their own: the rules ufw makes the kernel
//! load decide as we say, and ufw's own words, read by us, say the same.
//!
//! A failure prints its seed; `NAOSU_ORACLE_SEED=<seed>` runs that sequence
//! alone.

use std::collections::BTreeSet;

use naosu_flow::delta::FlowDelta;
use naosu_flow::iptables::{
    Backend, Family, Hook, InterfaceKnowledge, Knowledge, LoadedRuleset, NodeFirewall, Rule,
    Ruleset,
};
use naosu_flow::policy::Policy;
use naosu_flow::set::{FlowBox, PacketSet, Protocol, Space};
use naosu_flow::ufw::{
    UfwChange, UfwPolicy, UfwRule, UfwRules, UfwStatus, parse_added, parse_user_rules, ufw_change,
};
use naosu_lab::machine::NodeFiles;
use naosu_tests::netfilter::{
    Generator, IN_INTERFACE, Judge, LAST_SOURCES, NetfilterHost, Tally, established, missing,
};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const TOOLS: [&str; 6] = ["ip", "nft", "conntrack", "iptables", "ip6tables", "ufw"];
const SEQUENCES: u64 = 4;
const ROUNDS: usize = 4;
const COMMANDS_A_ROUND: usize = 3;
const PACKETS: usize = 120;

#[test]
fn what_ufw_loads_and_says_is_what_the_kernel_does() {
    if let Some(reason) = missing(&TOOLS) {
        println!("skipped: {reason}");
        return;
    }
    let seed = std::env::var("NAOSU_ORACLE_SEED")
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    let seeds = match seed {
        Some(seed) => seed..seed + 1,
        None => 4_000_000..4_000_000 + SEQUENCES,
    };
    let (mut by_kernel, mut by_ufw) = (Tally::default(), Tally::default());
    for seed in seeds {
        // A thread of its own is a host of its own.
        let run = std::thread::spawn(move || Sequence::enter(seed).run());
        let (kernel, ufw) = run.join().expect("the sequence");
        for (all, one) in [(&mut by_kernel, kernel), (&mut by_ufw, ufw)] {
            all.passed += one.passed;
            all.stopped += one.stopped;
            all.unknown += one.unknown;
        }
    }
    println!("by the kernel's rules: {by_kernel:?}; by ufw's words: {by_ufw:?}");
    if seed.is_none() {
        for tally in [by_kernel, by_ufw] {
            assert!(tally.unknown * 5 < tally.all(), "{tally:?}");
            assert!(tally.passed * 10 > tally.all(), "{tally:?}");
            assert!(tally.stopped * 10 > tally.all(), "{tally:?}");
        }
    }
}

/// The rules of a user of ufw's, by family and chain.
fn user_rules(firewall: &NodeFirewall) -> Vec<(Family, String, Vec<Rule>)> {
    let mut all = Vec::new();
    for loaded in &firewall.rulesets {
        let chains = loaded.ruleset.tables.iter().flat_map(|table| &table.chains);
        for chain in chains.filter(|chain| {
            ["ufw-user-", "ufw6-user-"]
                .iter()
                .any(|start| chain.name.starts_with(start))
                && !chain.name.contains("logging")
        }) {
            let family = loaded.ruleset.family;
            all.push((family, chain.name.clone(), chain.rules.clone()));
        }
    }
    all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    all
}

type UserRules = [(Family, String, Vec<Rule>)];

fn same_rules(a: &UserRules, b: &UserRules) -> bool {
    let same = |a: &[Rule], b: &[Rule]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_specification(b))
    };
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| a.0 == b.0 && a.1 == b.1 && same(&a.2, &b.2))
}

struct Sequence {
    host: NetfilterHost,
    backend: Backend,
    rng: StdRng,
    seed: u64,
    done: Vec<String>,
    knowledge: Knowledge,
    /// How many changes were foreseen, and right.
    foreseen: u32,
}

impl Sequence {
    fn enter(seed: u64) -> Self {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .expect("private mounts");
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).expect("a /run");
        NodeFiles { ufw_absent: false }
            .mount()
            .expect("ufw's own files");
        let host = NetfilterHost::enter().expect("a host");
        let version = host.tool("iptables", &["--version"]).expect("a version");
        let backend = if version.contains("nf_tables") {
            Backend::Nft
        } else {
            Backend::Legacy
        };
        for family in [Family::Ipv4, Family::Ipv6] {
            host.establish(&established(family))
                .expect("established connections");
        }
        let knowledge = Judge::knowledge(&host).expect("its routes");
        Self {
            knowledge,
            foreseen: 0,
            host,
            backend,
            rng: StdRng::seed_from_u64(seed),
            seed,
            done: Vec::new(),
        }
    }

    fn run(mut self) -> (Tally, Tally) {
        let (mut by_kernel, mut by_ufw) = (Tally::default(), Tally::default());
        let inactive = self.host.tool("ufw", &["status"]).expect("a status");
        assert_eq!(UfwStatus::parse(&inactive), Ok(UfwStatus::Inactive));
        for source in LAST_SOURCES {
            self.ufw(&format!("allow from {source}"));
        }
        self.switch("--force enable");
        for _ in 0..ROUNDS {
            for _ in 0..COMMANDS_A_ROUND {
                let command = self.command();
                self.ufw(&command);
            }
            self.host.accept_any_source().expect("sysctls");
            self.check(&mut by_kernel, &mut by_ufw);
        }
        assert!(self.foreseen > 0, "no change was foreseen");
        self.switch("disable");
        let status = self.host.tool("ufw", &["status"]).expect("a status");
        assert_eq!(UfwStatus::parse(&status), Ok(UfwStatus::Inactive));
        // Its chains stay behind and decide nothing.
        self.host.accept_any_source().expect("sysctls");
        let mut after = Tally::default();
        self.ask_kernel(&mut after, None);
        assert_eq!(
            (after.stopped, after.unknown),
            (0, 0),
            "after disable: {after:?}"
        );
        (by_kernel, by_ufw)
    }

    fn fail(&self, difference: &str) -> ! {
        panic!(
            "NAOSU_ORACLE_SEED={}: {difference}\nafter {:#?}",
            self.seed, self.done
        );
    }

    fn ufw(&mut self, command: &str) {
        let arguments: Vec<&str> = command.split(' ').collect();
        let foreseen = self.foresee(command);
        // A place that does not exist is refused, and nothing happens.
        match self.host.tool("ufw", &arguments) {
            Ok(_) => self.done.push(command.to_owned()),
            Err(refused) => {
                self.done.push(format!("{command}: {refused}"));
                return;
            }
        }
        if let Some(foreseen) = foreseen {
            let told = user_rules(&foreseen);
            let there = user_rules(&self.firewall());
            if !same_rules(&told, &there) {
                self.fail(&format!("foreseen {told:#?}, but there is {there:#?}"));
            }
            self.foreseen += 1;
        }
    }

    fn listed(&self) -> Option<Vec<UfwRule>> {
        let text = self
            .host
            .tool("ufw", &["status", "numbered"])
            .expect("a status");
        match UfwStatus::parse(&text).expect("a status") {
            UfwStatus::Active(report) => Some(report.rules),
            _ => None,
        }
    }

    /// The kernel's rules after a command that adds or deletes one rule; nothing
    /// for any other, and where ufw changes a rule in place.
    fn foresee(&self, command: &str) -> Option<NodeFirewall> {
        let listed = self.listed()?;
        let (word, rest) = command.split_once(' ')?;
        let (position, text) = match word {
            "insert" => {
                let (number, rule) = rest.split_once(' ')?;
                (number.parse().ok()?, rule)
            }
            "delete" => (0, rest),
            "default" => return None,
            _ => (0, command),
        };
        let rule = UfwRule::parse(text).expect("a command of this test");
        let families = match rule.family {
            Some(family) => vec![family],
            None => vec![Family::Ipv4, Family::Ipv6],
        };
        let there = |rule: &UfwRule| {
            families.iter().any(|family| {
                let family = Some(*family);
                let rule = UfwRule {
                    family,
                    ..rule.clone()
                };
                listed.iter().any(|there| there.is_same_but_action(&rule))
            })
        };
        let rule = &rule;
        let change = match word {
            "delete" => UfwChange::Delete { rule },
            _ if there(rule) => return None,
            _ => UfwChange::Insert { position, rule },
        };
        let foreseen = ufw_change(&self.firewall(), &listed, change);
        Some(foreseen.unwrap_or_else(|error| self.fail(&format!("{command}: {error}"))))
    }

    /// Enables or disables ufw, and compares what follows for every packet.
    fn switch(&mut self, command: &str) {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let defaults = read("/etc/default/ufw");
        let files = UfwRules {
            installed: true,
            added: String::new(),
            user_rules: read("/etc/ufw/user.rules"),
            user6_rules: read("/etc/ufw/user6.rules"),
            before_rules: read("/etc/ufw/before.rules"),
            before6_rules: read("/etc/ufw/before6.rules"),
            after_rules: read("/etc/ufw/after.rules"),
            after6_rules: read("/etc/ufw/after6.rules"),
            defaults: defaults.clone(),
            hooks: String::new(),
        };
        let change = match command {
            "disable" => UfwChange::Disable {
                defaults: &defaults,
            },
            _ => UfwChange::Enable { files: &files },
        };
        let foreseen = ufw_change(&self.firewall(), &[], change);
        let foreseen = foreseen.unwrap_or_else(|error| self.fail(&format!("{command}: {error}")));
        self.ufw(command);
        let there = self.firewall();
        let mut space = Space::new();
        let mut decided = |firewall: &NodeFirewall| {
            let both = firewall.decide(&mut space, PacketSet::ALL);
            let forward = firewall.analyse(&mut space, Hook::Forward, PacketSet::ALL);
            (
                both.expect("decisions"),
                forward.expect("decisions").decisions,
            )
        };
        let (told, there) = (decided(&foreseen), decided(&there));
        for (told, there) in [(&told.0, &there.0), (&told.1, &there.1)] {
            let delta = FlowDelta::between(&mut space, told, there).expect("a delta");
            // Types of ICMP are named in the files and numbers in the kernel, and
            // are not modelled: two names for what is unknown.
            let icmp = [Protocol::ICMP, Protocol::ICMPV6]
                .map(|protocol| space.flow(&FlowBox::any().with_protocol(protocol)));
            let [v4, v6] = icmp.map(|set| set.expect("a set"));
            let icmp = space.union(v4, v6).expect("a set");
            let others = space.complement(icmp).expect("a set");
            let delta = delta.among(&mut space, others).expect("a delta");
            if !delta.is_empty() {
                let words = delta.report(&space).expect("a report").words;
                self.fail(&format!("{command} was foreseen otherwise: {words:#?}"));
            }
        }
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.rng.random_range(0..from.len())]
    }

    fn command(&mut self) -> String {
        if self.rng.random_bool(0.1) {
            let action = self.pick(&["allow", "deny", "deny", "reject"]);
            return format!("default {action} incoming");
        }
        let action = self.pick(&["allow", "allow", "deny", "reject", "limit"]);
        let port = self.pick(&["22", "80", "443", "1000", "10250", "30000", "999"]);
        let protocol = self.pick(&["tcp", "tcp", "udp"]);
        let source = self.pick(&[
            "10.3.0.0/24",
            "10.3.1.7",
            "10.1.0.0/16",
            "172.16.0.0/12",
            "8.8.8.8",
            "fd03::/64",
            "fd04::7",
            "fd01::/64",
            "2001:db8::5",
        ]);
        let log = self.pick(&["", "", "", " log"]);
        let rule = match self.rng.random_range(0..8) {
            0 => format!("{action}{log} {port}/{protocol}"),
            1 => format!("{} {port}", self.pick(&["allow", "deny", "reject"])),
            2 => format!("{} from {source}", self.pick(&["allow", "deny"])),
            3 => format!("{action}{log} from {source} to any port {port} proto {protocol}"),
            4 => {
                let interface = self.pick(&["veth0", "veth0", "eth0"]);
                format!("{action} in on {interface} to any port {port} proto {protocol}")
            }
            5 => format!(
                "{} proto tcp from {source} to any port 22,80,10000:11000",
                self.pick(&["allow", "deny", "reject"])
            ),
            6 => format!("route {} from {source}", self.pick(&["allow", "deny"])),
            _ => format!(
                "{} from {source} port {port} proto {protocol}",
                self.pick(&["allow", "deny"])
            ),
        };
        match self.rng.random_range(0..5) {
            0 if !rule.starts_with("route") => {
                format!("insert {} {rule}", self.rng.random_range(1..4))
            }
            1 => match self.earlier() {
                Some(earlier) => format!("delete {earlier}"),
                None => rule,
            },
            _ => rule,
        }
    }

    /// A command that added a rule, other than the first two.
    fn earlier(&mut self) -> Option<String> {
        let added: Vec<&String> = self
            .done
            .iter()
            .skip(3)
            .filter(|command| {
                ["allow", "deny", "reject", "limit"]
                    .iter()
                    .any(|word| command.starts_with(word))
                    && !command.contains(": ")
            })
            .collect();
        let at = self.rng.random_range(0..added.len().max(1));
        added.get(at).map(|command| (*command).clone())
    }

    fn check(&mut self, by_kernel: &mut Tally, by_ufw: &mut Tally) {
        let status = |host: &NetfilterHost, how: &str| {
            let text = host.tool("ufw", &["status", how]).expect("a status");
            match UfwStatus::parse(&text) {
                Ok(UfwStatus::Active(report)) => report,
                other => panic!("{other:?} of\n{text}"),
            }
        };
        let numbered = status(&self.host, "numbered");
        let verbose = status(&self.host, "verbose");
        assert!(numbered.numbered && verbose.defaults.is_some());
        self.compare_sources(&numbered.rules, &verbose.rules);
        let policy = UfwPolicy {
            rules: numbered.rules,
            defaults: verbose.defaults,
            in_interface: InterfaceKnowledge::Named(IN_INTERFACE.to_owned()),
            out_interface: InterfaceKnowledge::NotLoopback,
        };
        self.ask_kernel(by_kernel, Some((&policy, by_ufw)));
    }

    /// All of ufw's own accounts of its rules hold the same rules.
    fn compare_sources(&self, numbered: &[UfwRule], verbose: &[UfwRule]) {
        let told = |rules: &[UfwRule]| -> BTreeSet<String> {
            rules.iter().map(ToString::to_string).collect()
        };
        assert_eq!(told(numbered), told(verbose), "{:#?}", self.done);
        let mut files = Vec::new();
        for (family, file) in [(Family::Ipv4, "user.rules"), (Family::Ipv6, "user6.rules")] {
            let path = format!("/etc/ufw/{file}");
            let text = std::fs::read_to_string(&path).expect("user rules");
            files.extend(parse_user_rules(family, &text).expect("tuples"));
        }
        assert_eq!(told(numbered), told(&files), "{:#?}", self.done);
        let added = self
            .host
            .tool("ufw", &["show", "added"])
            .expect("added rules");
        let mut added = parse_added(&added).expect("commands");
        // A command for both families is two rules.
        let both: Vec<UfwRule> = added.extract_if(.., |rule| rule.family.is_none()).collect();
        for rule in both {
            for family in [Family::Ipv4, Family::Ipv6] {
                added.push(UfwRule {
                    family: Some(family),
                    ..rule.clone()
                });
            }
        }
        assert_eq!(told(numbered), told(&added), "{:#?}", self.done);
    }

    fn ask_kernel(&mut self, by_kernel: &mut Tally, mut ufw: Option<(&UfwPolicy, &mut Tally)>) {
        let firewall = self.firewall();
        for family in [Family::Ipv4, Family::Ipv6] {
            let judge = Judge::new(family);
            let mut packets = Generator::new(self.rng.random(), family).packets(PACKETS);
            for packet in &mut packets {
                packet.id = self.host.next_id();
            }
            let passing = self
                .host
                .passing(family, &packets)
                .expect("the kernel's verdicts");
            judge
                .compare(&firewall, &packets, &passing, by_kernel)
                .unwrap_or_else(|difference| self.fail(&difference));
            let Some((policy, tally)) = &mut ufw else {
                continue;
            };
            let mut space = Space::new();
            let decisions = policy
                .decide(&mut space, PacketSet::ALL)
                .expect("decisions");
            for sent in &packets {
                let (hook, packet) = judge.analysed(sent);
                // Of other states its words say nothing.
                if hook != Hook::Input || sent.other.is_some() {
                    continue;
                }
                let answer = decisions.answer(&mut space, &packet).expect("an answer");
                let passed = passing.contains(&sent.id);
                tally
                    .judge(&answer, passed, sent)
                    .unwrap_or_else(|difference| {
                        self.fail(&format!("by ufw's words: {difference}"))
                    });
            }
        }
    }

    fn firewall(&self) -> NodeFirewall {
        let rulesets = [Family::Ipv4, Family::Ipv6].map(|family| {
            let text = self.host.save(self.backend, family).expect("iptables-save");
            let ruleset = Ruleset::parse(family, &text).expect("a ruleset");
            LoadedRuleset {
                backend: self.backend,
                ruleset,
            }
        });
        NodeFirewall {
            rulesets: rulesets.into(),
            knowledge: self.knowledge.clone(),
        }
    }
}
