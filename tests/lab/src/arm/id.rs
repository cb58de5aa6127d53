//! Resource ids and request paths of Azure Resource Manager.

/// One `type/name` pair of an id; the name is missing in the path of a
/// collection and of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Type segment, as written.
    pub kind: String,
    /// Name, as written.
    pub name: Option<String>,
}

/// Providers whose resources lie below any other resource.
const EXTENSIONS: [&str; 2] = ["microsoft.authorization", "microsoft.insights"];

/// A request path below a subscription, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmPath {
    /// Subscription id.
    pub subscription: String,
    /// Resource group, where the path names one.
    pub group: Option<String>,
    /// Resource provider, where the path names one.
    pub provider: Option<String>,
    /// What follows the provider.
    pub segments: Vec<Segment>,
    /// The path up to a trailing `/providers/Microsoft.Insights/metrics` and
    /// the like, when there is one, with that extension's provider and type.
    pub extension: Option<(String, String)>,
}

impl ArmPath {
    /// Takes a path apart; `None` when it is not below a subscription.
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let mut extension = None;
        if let [.., marker, provider, kind] = parts.as_slice()
            && marker.eq_ignore_ascii_case("providers")
            && EXTENSIONS
                .iter()
                .any(|one| provider.eq_ignore_ascii_case(one))
        {
            extension = Some(((*provider).to_owned(), (*kind).to_owned()));
            parts.truncate(parts.len() - 3);
        }
        let mut parts = parts.into_iter().peekable();
        if !parts.next()?.eq_ignore_ascii_case("subscriptions") {
            return None;
        }
        let subscription = parts.next()?.to_owned();
        let mut group = None;
        if parts
            .peek()
            .is_some_and(|part| part.eq_ignore_ascii_case("resourcegroups"))
        {
            parts.next();
            group = Some(parts.next().unwrap_or_default().to_owned());
        }
        let mut provider = None;
        if parts
            .peek()
            .is_some_and(|part| part.eq_ignore_ascii_case("providers"))
        {
            parts.next();
            provider = Some(parts.next()?.to_owned());
        }
        let mut segments = Vec::new();
        while let Some(kind) = parts.next() {
            segments.push(Segment {
                kind: kind.to_owned(),
                name: parts.next().map(str::to_owned),
            });
        }
        Some(Self {
            subscription,
            group,
            provider,
            segments,
            extension,
        })
    }

    /// Full type in lower case, for instance
    /// `microsoft.network/networksecuritygroups/securityrules`.
    pub fn kind(&self) -> String {
        let mut kind = self.provider.clone().unwrap_or_default();
        for segment in &self.segments {
            kind.push('/');
            kind.push_str(&segment.kind);
        }
        kind.to_ascii_lowercase()
    }

    /// Whether the path ends in a type without a name: a collection to list,
    /// or an action to POST.
    pub fn is_collection(&self) -> bool {
        self.segments
            .last()
            .is_some_and(|segment| segment.name.is_none())
    }

    /// The last type segment, in lower case.
    pub fn last_kind(&self) -> String {
        self.segments
            .last()
            .map(|segment| segment.kind.to_ascii_lowercase())
            .unwrap_or_default()
    }

    /// The last name.
    pub fn last_name(&self) -> &str {
        self.segments
            .iter()
            .rev()
            .find_map(|segment| segment.name.as_deref())
            .unwrap_or_default()
    }

    /// The id this path stands for, with `resourceGroups` in Azure's usual
    /// casing, up to its last name.
    pub fn id(&self) -> String {
        self.id_of(self.segments.len())
    }

    /// The id of the top-level resource the path lies in.
    pub fn top_level_id(&self) -> String {
        self.id_of(1)
    }

    /// The id without its last segment.
    pub fn parent_id(&self) -> String {
        self.id_of(self.segments.len().saturating_sub(1))
    }

    fn id_of(&self, segments: usize) -> String {
        let mut id = format!("/subscriptions/{}", self.subscription);
        if let Some(group) = &self.group {
            id.push_str("/resourceGroups/");
            id.push_str(group);
        }
        if let Some(provider) = &self.provider {
            id.push_str("/providers/");
            id.push_str(provider);
        }
        for segment in self.segments.iter().take(segments) {
            let Some(name) = &segment.name else { break };
            id.push('/');
            id.push_str(&segment.kind);
            id.push('/');
            id.push_str(name);
        }
        id
    }
}

/// The last name of an id.
pub fn name_of(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or_default()
}

/// Ids are compared without case.
pub fn same_id(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_parsing_in_any_casing_of_its_keywords() {
        let path = ArmPath::parse(
            "/Subscriptions/s/resourcegroups/Rg/providers/microsoft.network/networkSecurityGroups/n/securityRules/r",
        )
        .unwrap();
        assert_eq!(path.group.as_deref(), Some("Rg"));
        assert_eq!(
            path.kind(),
            "microsoft.network/networksecuritygroups/securityrules"
        );
        assert!(!path.is_collection());
        assert_eq!(
            path.parent_id(),
            "/subscriptions/s/resourceGroups/Rg/providers/microsoft.network/networkSecurityGroups/n"
        );
    }

    #[test]
    fn a_trailing_metrics_extension_is_kept_apart_from_the_resource() {
        let path = ArmPath::parse(
            "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/loadBalancers/kubernetes/providers/Microsoft.Insights/metrics",
        )
        .unwrap();
        assert_eq!(path.extension.unwrap().1, "metrics");
        assert_eq!(path.segments.len(), 1);
    }

    #[test]
    fn a_path_outside_a_subscription_is_no_arm_path() {
        assert_eq!(ArmPath::parse("/tenants"), None);
        assert_eq!(ArmPath::parse("/"), None);
    }
}
