//! Which stored resource a path is about.

use http::StatusCode;

use super::error::ArmError;
use super::id::ArmPath;
use super::shape::{EmbeddedKind, Kind};
use super::store::{Store, Stored};

/// What a path names: a resource of its own, or one inside its parent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// Stored under its own id.
    Own(&'static Kind),
    /// Stored in an array of its parent.
    Embedded(&'static EmbeddedKind, &'static Kind),
}

impl Target {
    /// The target of a path; an unknown type is refused as ARM does.
    pub fn of(path: &ArmPath) -> Result<Self, ArmError> {
        let full_type = path.kind();
        if let Some(kind) = Kind::find(&full_type) {
            return Ok(Self::Own(kind));
        }
        if let Some(embedded) = EmbeddedKind::find(&full_type)
            && let Some(parent) = Kind::find(embedded.parent)
        {
            return Ok(Self::Embedded(embedded, parent));
        }
        Err(unknown_type(path))
    }

    /// The kind of the stored resource.
    pub fn kind(self) -> &'static Kind {
        match self {
            Self::Own(kind) | Self::Embedded(_, kind) => kind,
        }
    }

    /// The id of the stored resource.
    pub fn stored_id(self, path: &ArmPath) -> String {
        match self {
            Self::Own(_) => path.id(),
            Self::Embedded(..) => path.parent_id(),
        }
    }
}

/// 404 for a type the provider does not have.
pub(super) fn unknown_type(path: &ArmPath) -> ArmError {
    let kind = path.kind();
    let (provider, kind) = kind.split_once('/').unwrap_or((kind.as_str(), ""));
    let mut error = ArmError::new(
        StatusCode::NOT_FOUND,
        "InvalidResourceType",
        format!("The resource type '{kind}' could not be found in the namespace '{provider}'."),
    );
    error.gateway = true;
    error
}

/// Refuses a path whose group is not there.
pub(super) fn check_group(store: &Store, path: &ArmPath) -> Result<(), ArmError> {
    match &path.group {
        Some(group) if store.group(group).is_none() => Err(ArmError::group_not_found(group)),
        _ => Ok(()),
    }
}

/// The stored resource of a path, or the 404 that fits: the gateway knows
/// top-level resources, only the provider what is below.
pub(super) fn find<'a>(
    store: &'a Store,
    path: &ArmPath,
    target: Target,
) -> Result<&'a Stored, ArmError> {
    check_group(store, path)?;
    let top_level_id = path.top_level_id();
    if store.get(&top_level_id).is_none() {
        let segment = path.segments.first();
        return Err(ArmError::resource_not_found(
            &format!(
                "{}/{}",
                path.provider.as_deref().unwrap_or_default(),
                segment.map(|s| s.kind.as_str()).unwrap_or_default()
            ),
            segment.and_then(|s| s.name.as_deref()).unwrap_or_default(),
            path.group.as_deref().unwrap_or_default(),
        ));
    }
    let stored = store
        .get(&target.stored_id(path))
        .ok_or_else(|| ArmError::child_not_found(&path.id()))?;
    if let Target::Embedded(embedded, _) = target
        && !path.is_collection()
        && embedded.find_in(&stored.body, path.last_name()).is_none()
    {
        return Err(ArmError::child_not_found(&path.id()));
    }
    Ok(stored)
}
