//! Which finding a plan is made of.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    error::{Code, Error},
    model::{Diagnosis, Finding, Judgement},
    plugin::Plugin,
};

/// The finding of `wanted`, or the first confirmed one with a feasible fix, and
/// its plugin.
///
/// # Errors
/// `finding_not_found`, `plugin_not_found`, `nothing_to_do`, `infeasible_here`.
pub fn select<'a>(
    diagnosis: &'a Diagnosis,
    wanted: Option<&str>,
    plugins: &'a BTreeMap<String, Arc<dyn Plugin>>,
) -> Result<(&'a Finding, &'a Arc<dyn Plugin>), Error> {
    let has_fix = |p: &Arc<dyn Plugin>| !p.info().effects.is_empty();
    let Some(wanted) = wanted else {
        let feasible = diagnosis.findings.iter().find_map(|finding| {
            let plugin = plugins.get(&finding.plugin).filter(|p| has_fix(p))?;
            let fits = finding.judgement == Judgement::Confirmed && finding.infeasible.is_none();
            fits.then_some((finding, plugin))
        });
        return feasible.ok_or_else(|| {
            nothing(
                format!(
                    "{} has no confirmed finding that can be mended",
                    diagnosis.id.0
                ),
                "read the findings; name a plugin to plan for a suspected one",
            )
        });
    };
    let plugin = plugins.get(wanted).ok_or_else(|| not_loaded(wanted))?;
    let finding = diagnosis
        .findings
        .iter()
        .find(|f| f.plugin == wanted)
        .ok_or_else(|| {
            Error::new(
                Code::FindingNotFound,
                format!("{} has no finding of plugin {wanted}", diagnosis.id.0),
                "diagnose again with this plugin",
            )
        })?;
    if let Some(why) = &finding.infeasible {
        return Err(Error::new(
            Code::InfeasibleHere,
            format!("{wanted} cannot mend this cluster: {why}"),
            "do what the finding proposes instead",
        ));
    }
    if !has_fix(plugin) {
        return Err(nothing(
            format!("{wanted} gives advice only"),
            "follow the finding's evidence",
        ));
    }
    match finding.judgement {
        Judgement::Confirmed | Judgement::Suspected => Ok((finding, plugin)),
        Judgement::RuledOut => Err(nothing(
            format!("{} is ruled out: {}", finding.cause, finding.summary),
            "plan for another finding",
        )),
        Judgement::Unknown => Err(nothing(
            format!("{} is not known: {}", finding.cause, finding.summary),
            "see that what decides can be read, then diagnose again",
        )),
    }
}

/// The error for a plugin that is not there.
pub fn not_loaded(id: &str) -> Error {
    Error::new(
        Code::PluginNotFound,
        format!("no plugin {id:?} is loaded"),
        "`naosu plugin list` shows the loaded ones",
    )
}

fn nothing(message: String, next: &str) -> Error {
    Error::new(Code::NothingToDo, message, next)
}
