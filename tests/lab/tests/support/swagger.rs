//! Azure's specifications (OpenAPI 2.0) as JSON Schema, so that answers can be
//! validated against them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// Fields Azure gives back that are newer than the specifications at hand.
const NEWER_FIELDS: &[&str] = &[
    "allowExtensionOperations",
    "allowPort25Out",
    "autoUpgradeProfile.nodeOSUpgradeChannel",
    "auxiliaryMode",
    "auxiliarySku",
    "azurePortalFQDN",
    "backendPoolType",
    "currentKubernetesVersion",
    "currentOrchestratorVersion",
    "ddosSettings",
    "defaultOutboundConnectivityEnabled",
    "disableTcpStateTracking",
    "eTag",
    "hasBgpOverride",
    "ipFamilies",
    "isInUseWithService",
    "kind",
    "metricsProfile",
    "modelDefinitionApplied",
    "networkDataplane",
    "networkFeatures",
    "networkPluginMode",
    "nodeResourceGroupProfile",
    "oidcIssuerProfile",
    "peeringSyncLevel",
    "podCidrs",
    "privateEndpointVNetPolicies",
    "requireGuestProvisionSignal",
    "resilientVMDeletionStatus",
    "resourceUID",
    "scaleDownMode",
    "securityProfile",
    "serviceCidrs",
    "serviceTagChangeNumber",
    "storageProfile.diskCSIDriver",
    "storageProfile.fileCSIDriver",
    "storageProfile.snapshotController",
    "supportPlan",
    "timeCreated",
    "useRollingUpgradePolicy",
    "vnetEncryptionSupported",
    "workloadAutoScalerProfile",
];

/// Fields newer than the specification of one type only.
const NEWER_FIELDS_OF: &[(&str, &[&str])] = &[
    ("/managedclusters", &["storageProfile"]),
    ("/virtualmachinescalesets", &["etag"]),
    (
        "/instanceview",
        &["computerName", "hyperVGeneration", "osName", "osVersion"],
    ),
    ("/natgateways", &["tier", "type"]),
];

/// Values newer than the specifications at hand.
const NEWER_VALUES: &[(&str, &str, &str)] = &[
    ("networkPolicy", "none", "azure"),
    ("name", "Base", "Basic"),
];

/// The specifications of one folder tree.
pub struct Specifications {
    root: PathBuf,
    /// Path template, method, file.
    operations: Vec<(String, String, PathBuf)>,
    files: BTreeMap<PathBuf, Value>,
    /// Validators by template, method and status: making one takes long.
    validators: RefCell<BTreeMap<String, Rc<Validator>>>,
}

/// An operation and where its examples are.
pub struct Example {
    pub template: String,
    pub name: String,
    pub content: Value,
    pub api_version: String,
}

impl Specifications {
    /// Reads every specification below `root/swagger`.
    pub fn read(root: &Path) -> Self {
        let mut files: BTreeMap<PathBuf, Value> = BTreeMap::new();
        for provider in std::fs::read_dir(root.join("swagger")).unwrap() {
            let provider = provider.unwrap().path();
            let Ok(versions) = std::fs::read_dir(&provider) else {
                continue;
            };
            for version in versions {
                for file in std::fs::read_dir(version.unwrap().path())
                    .into_iter()
                    .flatten()
                {
                    let file = file.unwrap().path();
                    if file
                        .extension()
                        .is_some_and(|extension| extension == "json")
                    {
                        let text = std::fs::read_to_string(&file).unwrap();
                        let text = text.trim_start_matches('\u{feff}');
                        files.insert(file, serde_json::from_str(text).unwrap());
                    }
                }
            }
        }
        let mut operations = Vec::new();
        for (file, content) in &files {
            for (template, methods) in content["paths"].as_object().into_iter().flatten() {
                for method in methods.as_object().unwrap().keys() {
                    operations.push((template.clone(), method.clone(), file.clone()));
                }
            }
        }
        assert!(operations.len() > 100, "specifications are missing");
        Self {
            root: root.to_owned(),
            operations,
            files,
            validators: RefCell::default(),
        }
    }

    /// Every example of a method that lies in `root/examples`.
    pub fn examples(&self, method: &str) -> Vec<Example> {
        let mut examples = Vec::new();
        for (template, _, file) in self.operations.iter().filter(|(_, m, _)| m == method) {
            let operation = &self.files[file]["paths"][template][method];
            let version = file.parent().unwrap();
            let folder = self
                .root
                .join("examples")
                .join(version.strip_prefix(self.root.join("swagger")).unwrap());
            for example in operation["x-ms-examples"]
                .as_object()
                .into_iter()
                .flat_map(Map::values)
            {
                let reference = example["$ref"].as_str().unwrap();
                let name = reference.rsplit('/').next().unwrap();
                let Ok(text) = std::fs::read_to_string(folder.join(name)) else {
                    continue;
                };
                examples.push(Example {
                    template: template.clone(),
                    name: name.to_owned(),
                    content: serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap(),
                    api_version: version.file_name().unwrap().to_string_lossy().into_owned(),
                });
            }
        }
        examples
    }

    /// What is wrong with an answer; `None` when no operation has this path.
    pub fn problems(
        &self,
        method: &str,
        path: &str,
        status: u16,
        body: &Value,
    ) -> Option<Vec<String>> {
        let (template, method, file) = self
            .operations
            .iter()
            .find(|(template, m, _)| m == method && template_matches(template, path))?;
        let responses = &self.files[file]["paths"][template][method]["responses"];
        let response = &responses[status.to_string()];
        if response.is_null() {
            return Some(vec![format!("status {status} is not in the specification")]);
        }
        let Some(schema) = response.get("schema") else {
            return Some(Vec::new());
        };
        let key = format!("{method} {template} {status}");
        let made = self.validators.borrow().get(&key).cloned();
        let validator = made.unwrap_or_else(|| {
            let mut bundle = Bundle {
                files: &self.files,
                definitions: Map::new(),
            };
            let mut root = bundle.convert(schema, file, true);
            root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
            root["$defs"] = Value::Object(bundle.definitions);
            Rc::new(jsonschema::validator_for(&root).unwrap())
        });
        self.validators
            .borrow_mut()
            .insert(key, Rc::clone(&validator));
        let mut body = body.clone();
        strip_newer(&mut body, "", &path.to_ascii_lowercase());
        let problems = validator
            .iter_errors(&body)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        Some(problems)
    }
}

fn template_matches(template: &str, path: &str) -> bool {
    if let Some(suffix) = template.strip_prefix("/{resourceUri}") {
        return path
            .to_ascii_lowercase()
            .ends_with(&suffix.to_ascii_lowercase());
    }
    let parts = |text: &str| -> Vec<String> {
        text.trim_matches('/')
            .split('/')
            .map(str::to_ascii_lowercase)
            .collect()
    };
    let (template, path) = (parts(template), parts(path));
    template.len() == path.len()
        && template
            .iter()
            .zip(&path)
            .all(|(t, p)| t.starts_with('{') || t == p)
}

fn strip_newer(value: &mut Value, parent: &str, path: &str) {
    match value {
        Value::Object(fields) => {
            let newer_here = NEWER_FIELDS_OF
                .iter()
                .filter(|(kind, _)| path.contains(kind))
                .flat_map(|(_, names)| names.iter())
                .copied()
                .collect::<Vec<&str>>();
            fields.retain(|name, field| {
                let kept_type = name == "type" && field.as_str().is_some_and(|t| t.contains('/'));
                !NEWER_FIELDS.contains(&name.as_str())
                    && !NEWER_FIELDS.contains(&format!("{parent}.{name}").as_str())
                    && (kept_type || !newer_here.contains(&name.as_str()))
            });
            for (field, newer, known) in NEWER_VALUES {
                if fields.get(*field).is_some_and(|value| value == newer) {
                    fields.insert((*field).to_owned(), json!(known));
                }
            }
            for (name, field) in fields {
                strip_newer(field, name, path);
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| strip_newer(item, parent, path)),
        _ => {}
    }
}

/// One JSON Schema made of the definitions a response needs.
struct Bundle<'a> {
    files: &'a BTreeMap<PathBuf, Value>,
    definitions: Map<String, Value>,
}

impl Bundle<'_> {
    /// Converts a schema; `closed` forbids properties it does not name.
    fn convert(&mut self, schema: &Value, file: &Path, closed: bool) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            return json!({ "$ref": self.define(reference, file, closed) });
        }
        let mut converted = Map::new();
        for keyword in [
            "type",
            "enum",
            "required",
            "minimum",
            "maximum",
            "maxLength",
            "minLength",
        ] {
            if let Some(value) = schema.get(keyword) {
                converted.insert(keyword.to_owned(), value.clone());
            }
        }
        if let Some(properties) = schema["properties"].as_object() {
            let properties: Map<String, Value> = properties
                .iter()
                .map(|(name, property)| (name.clone(), self.convert(property, file, true)))
                .collect();
            converted.insert("properties".to_owned(), Value::Object(properties));
        }
        if let Some(items) = schema.get("items") {
            converted.insert("items".to_owned(), self.convert(items, file, true));
        }
        let open = schema.get("additionalProperties");
        if let Some(additional) = open.filter(|value| value.is_object()) {
            let additional = self.convert(additional, file, true);
            converted.insert("additionalProperties".to_owned(), additional);
        }
        if let Some(parents) = schema["allOf"].as_array() {
            let parents: Vec<Value> = parents
                .iter()
                .map(|parent| self.convert(parent, file, false))
                .collect();
            converted.insert("allOf".to_owned(), json!(parents));
        }
        let is_object = converted.contains_key("properties") || converted.contains_key("allOf");
        if closed && is_object && open.is_none() {
            converted.insert("unevaluatedProperties".to_owned(), json!(false));
        }
        Value::Object(converted)
    }

    fn define(&mut self, reference: &str, file: &Path, closed: bool) -> String {
        let (other, pointer) = reference.split_once('#').unwrap();
        let file = match other {
            "" => file.to_owned(),
            other => file.parent().unwrap().join(other.trim_start_matches("./")),
        };
        let name = pointer.rsplit('/').next().unwrap();
        let stem = file.file_stem().unwrap().to_string_lossy();
        let key = format!("{stem}.{name}.{}", if closed { "closed" } else { "open" });
        let target = format!("#/$defs/{key}");
        if self.definitions.contains_key(&key) {
            return target;
        }
        self.definitions.insert(key.clone(), json!(true));
        let content = self.files.get(&file);
        let Some(definition) = content.and_then(|content| content.pointer(pointer)) else {
            // A file that is not at hand: nothing can be said about it.
            return target;
        };
        let definition = definition.clone();
        let converted = match definition["discriminator"].as_str() {
            Some(_) if closed => {
                let kinds: Vec<Value> = self
                    .heirs(name, &file)
                    .into_iter()
                    .map(|heir| json!({ "$ref": self.define(&format!("#/definitions/{heir}"), &file, true) }))
                    .collect();
                json!({ "anyOf": kinds })
            }
            _ => self.convert(&definition, &file, closed),
        };
        self.definitions.insert(key, converted);
        target
    }

    /// The definitions that build on `name`.
    fn heirs(&self, name: &str, file: &Path) -> BTreeSet<String> {
        let reference = format!("#/definitions/{name}");
        self.files[file]["definitions"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, definition)| {
                definition["allOf"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|parent| parent["$ref"] == reference.as_str())
            })
            .map(|(heir, _)| heir.clone())
            .collect()
    }
}
