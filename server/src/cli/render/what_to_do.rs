//! The last lines of a diagnosis, where a terminal shows them: what was found, and
//! what to do.

use std::collections::BTreeMap;

use naosu_engine::model::{
    Bearing, Diagnosis, Finding, Judgement, PluginInfo, TunnelAnswer, TunnelAnswers,
};

use super::judgement;
use crate::cli::page::{Page, Tone};

/// How many causes that are not known are told.
const UNKNOWN_TOLD: usize = 3;

/// What was found, what mends it, and the next thing to do.
pub fn what_to_do(page: &mut Page, diagnosis: &Diagnosis, plugins: &[PluginInfo]) {
    page.line(0, Tone::Strong, &counted(diagnosis));
    let unreadable = diagnosis.unreadable();
    if !unreadable.is_empty() {
        let codes: Vec<&str> = unreadable.iter().map(|u| u.code.as_str()).collect();
        let said = format!(
            "not everything could be read ({}), and what depends on it is unknown: see above.",
            codes.join(", ")
        );
        page.item(0, "CAUTION: ", Tone::Caution, &said);
    }
    let told = Told { diagnosis, plugins };
    let confirmed = told.of(Judgement::Confirmed);
    told.groups(page, &confirmed);
    let is_mended = confirmed.iter().flatten().any(|f| told.mends(f));
    let mut suspected = Vec::new();
    if !is_mended {
        if !confirmed.is_empty() {
            page.words(0, Tone::Plain, "No plan mends what is confirmed here.");
        }
        suspected = told.of(Judgement::Suspected);
        if confirmed.is_empty() {
            let unknown = told.of(Judgement::Unknown);
            tunnel(page, diagnosis, suspected.is_empty() && unknown.is_empty());
            if suspected.is_empty() {
                told.groups(page, unknown.get(..UNKNOWN_TOLD).unwrap_or(&unknown));
            }
        }
        if suspected.iter().flatten().any(|f| told.mends(f)) {
            let doubt = "What is only suspected may not be the cause: read its evidence before \
                         you plan to mend it.";
            page.words(0, Tone::Plain, doubt);
        }
        told.groups(page, &suspected);
    }
    let is_planned = is_mended || suspected.iter().flatten().any(|f| told.mends(f));
    if let Some(next) = next(diagnosis, !confirmed.is_empty(), is_planned) {
        page.item(0, "next: ", Tone::Strong, &next);
    }
}

/// "Causes: 1 confirmed, 2 ruled out". Several plugins may judge one cause: what
/// is surest of it counts.
fn counted(diagnosis: &Diagnosis) -> String {
    let mut causes: BTreeMap<&str, Judgement> = BTreeMap::new();
    for finding in &diagnosis.findings {
        let surest = causes.entry(&finding.cause).or_insert(finding.judgement);
        *surest = finding.judgement.min(*surest);
    }
    let counted: Vec<String> = [
        Judgement::Confirmed,
        Judgement::Suspected,
        Judgement::Unknown,
        Judgement::RuledOut,
    ]
    .iter()
    .filter_map(|sure| {
        let count = causes.values().filter(|judged| *judged == sure).count();
        (count > 0).then(|| format!("{count} {}", judgement(*sure).0))
    })
    .collect();
    if counted.is_empty() {
        return "Causes: none was judged".to_owned();
    }
    format!("Causes: {}", counted.join(", "))
}

/// Whether the tunnel answers, where no cause says more.
fn tunnel(page: &mut Page, diagnosis: &Diagnosis, is_nothing_left: bool) {
    match &diagnosis.tunnel {
        Some(answers) if answers.carries() => {
            let judged = if is_nothing_left {
                ": nothing is wrong with it."
            } else {
                ". No cause is confirmed."
            };
            let words = format!(
                "The tunnel answers on {} of {} nodes asked{judged}",
                answers.reached, answers.asked
            );
            page.words(0, Tone::Good, &words);
        }
        Some(answers) => {
            let words = format!("No cause is confirmed. {}", answers.in_words());
            page.words(0, Tone::Caution, &words);
        }
        None => {
            let words = "No cause is confirmed, and whether the tunnel answers is not known.";
            page.words(0, Tone::Caution, words);
        }
    }
}

/// The one thing to do where no plan can be made, or beside the plan for what the
/// plan will not mend.
fn next(diagnosis: &Diagnosis, is_confirmed: bool, is_planned: bool) -> Option<String> {
    let answers = diagnosis.tunnel.as_ref();
    if let Some(next) = answers.and_then(|answers| at_the_kubelet(answers, is_confirmed)) {
        return Some(next);
    }
    if is_planned {
        return None;
    }
    if let Some(unreadable) = diagnosis.unreadable().first() {
        return Some(unreadable.next.clone());
    }
    if is_confirmed {
        return Some("do by hand what is said above, then diagnose again".to_owned());
    }
    let carries = answers.is_some_and(TunnelAnswers::carries);
    let elsewhere = diagnosis
        .hint
        .as_ref()
        .filter(|h| h.bearing != Bearing::Tunnel);
    Some(match (carries, elsewhere) {
        (true, Some(hint)) => hint.next.clone(),
        (true, None) => "if kubectl still fails, diagnose again with --symptom and what it \
                         prints"
            .to_owned(),
        (false, _) => "read above what is suspected or unknown; ask the owner of the network for \
                       what Naosu cannot see, then diagnose again"
            .to_owned(),
    })
}

/// Where a kubelet itself is at fault. That one refuses shows that packets arrive
/// there, unless a confirmed cause turns them away in its stead.
fn at_the_kubelet(answers: &TunnelAnswers, is_confirmed: bool) -> Option<String> {
    let names = |wanted: &dyn Fn(&TunnelAnswer, &str) -> bool| -> Option<String> {
        let nodes = answers.others.iter();
        let of_these = nodes.filter(|node| wanted(&node.answer, &node.detail));
        let names: Vec<&str> = of_these.map(|node| node.node.as_str()).take(5).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    if let Some(nodes) = names(&|answer, _| *answer == TunnelAnswer::KubeletFault) {
        return Some(format!(
            "check the kubelet of {nodes}: the tunnel reaches it, and what it answers is a fault \
             of its own"
        ));
    }
    let refused = names(&|_, detail| detail.contains("connection refused"))?;
    (!is_confirmed).then(|| {
        format!(
            "check that the kubelet of {refused} runs (`systemctl status kubelet` there): \
             \"connection refused\" shows that packets arrive, and nothing listens"
        )
    })
}

/// A diagnosis, with what its plugins can do.
struct Told<'a> {
    diagnosis: &'a Diagnosis,
    plugins: &'a [PluginInfo],
}

impl<'a> Told<'a> {
    /// The findings of this judgement, those of one cause together.
    fn of(&self, sure: Judgement) -> Vec<Vec<&'a Finding>> {
        let mut groups: Vec<Vec<&Finding>> = Vec::new();
        for finding in self
            .diagnosis
            .findings
            .iter()
            .filter(|f| f.judgement == sure)
        {
            let is_of_cause =
                |group: &&mut Vec<&Finding>| group.iter().any(|f| f.cause == finding.cause);
            match groups.iter_mut().find(is_of_cause) {
                Some(group) => group.push(finding),
                None => groups.push(vec![finding]),
            }
        }
        groups
    }

    fn plugin(&self, id: &str) -> Option<&'a PluginInfo> {
        self.plugins.iter().find(|info| info.id == id)
    }

    /// A plugin that is not known is taken to mend what it finds.
    fn only_advises(&self, finding: &Finding) -> bool {
        self.plugin(&finding.plugin)
            .is_some_and(|info| info.effects.is_empty())
    }

    fn mends(&self, finding: &Finding) -> bool {
        finding.infeasible.is_none() && !self.only_advises(finding)
    }

    /// Each cause once, and below it what each plugin can do.
    fn groups(&self, page: &mut Page, groups: &[Vec<&Finding>]) {
        for group in groups {
            let Some(first) = group.first() else {
                continue;
            };
            let (word, tone) = judgement(first.judgement);
            let mark = format!("{} ", word.to_uppercase());
            page.item(0, &mark, tone, &first.summary);
            for finding in group {
                self.fix(page, first, finding, group.len() > 1);
            }
        }
    }

    fn fix(&self, page: &mut Page, first: &Finding, finding: &Finding, is_one_of_several: bool) {
        if finding.judgement > Judgement::Suspected {
            return;
        }
        let own = if finding.summary == first.summary {
            ""
        } else {
            &finding.summary
        };
        let plugin = format!("{}: ", finding.plugin);
        if let Some(infeasible) = &finding.infeasible {
            if !own.is_empty() {
                page.item(2, &plugin, Tone::Plain, own);
            }
            let mark = format!("{}: CANNOT BE MENDED HERE: ", finding.plugin);
            page.item(2, &mark, Tone::Caution, infeasible);
        } else if self.only_advises(finding) {
            let words = if own.is_empty() {
                "advice only: see above"
            } else {
                own
            };
            page.item(2, &plugin, Tone::Plain, words);
        } else {
            if is_one_of_several {
                let fix = self.plugin(&finding.plugin).map_or("", |info| &info.fix);
                let words = match (fix.is_empty(), own.is_empty()) {
                    (false, _) => fix,
                    (true, false) => own,
                    (true, true) => "mends it",
                };
                page.item(2, &plugin, Tone::Plain, words);
            }
            let id = &self.diagnosis.id.0;
            page.command(2, &["plan", "create", id, "--plugin", &finding.plugin]);
        }
    }
}
