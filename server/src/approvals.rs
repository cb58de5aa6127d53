//! Where the approvals of a plan stand, in the words of every face.

use naosu_engine::{
    model::{Decision, Plan},
    policy::strong_reasons,
};

/// "1 of 2 approvals (alice); another person has to give the next. It needs 2 by
/// different people because …".
pub fn approvals_words(plan: &Plan) -> String {
    let needed = plan.content.approvals_needed;
    let names: Vec<&str> = plan
        .approvals
        .iter()
        .filter(|approval| approval.decision == Decision::Approve)
        .map(|approval| approval.principal.name.as_str())
        .collect();
    let mut words = format!("{} of {needed} approvals", names.len());
    if !names.is_empty() {
        words.push_str(&format!(" (by {})", names.join(", ")));
    }
    if needed < 2 {
        return words;
    }
    if !names.is_empty() {
        words.push_str("; another person has to give the next");
    }
    let reasons = strong_reasons(&plan.content);
    words.push_str(&if reasons.is_empty() {
        format!(". It needs {needed}, by different people, as `[policy] approvals` says.")
    } else {
        format!(
            ". It needs {needed}, by different people, because {}; `[policy] strong_approvals` \
             says how many.",
            reasons.join(" and ")
        )
    });
    words
}
