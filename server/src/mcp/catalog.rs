//! What a tool is: its definition for the client and its call on the façade.

use std::{future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use futures::FutureExt as _;
use naosu_engine::{
    Code, Error, Naosu,
    model::{ClusterId, Principal},
};
use rmcp::{
    handler::server::common::{schema_for_input, schema_for_output},
    model::{Tool, ToolAnnotations},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// Told while a tool works, in words.
pub(super) type Progress = Arc<dyn Fn(String) + Send + Sync>;

/// What every tool is called with.
#[derive(Clone)]
pub(super) struct Call {
    /// The product.
    pub naosu: Arc<dyn Naosu>,
    /// Who asks: an assistant, always.
    pub principal: Principal,
    /// Where to tell what goes on.
    pub progress: Progress,
}

/// Arguments that name a cluster or none. Its id is text here: one that is
/// malformed has the same code in every face.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfCluster {
    /// ARM id; absent for all clusters.
    #[serde(default)]
    cluster: Option<String>,
}

impl OfCluster {
    /// The cluster.
    ///
    /// # Errors
    /// `invalid_resource_id`.
    pub fn id(&self) -> Result<Option<ClusterId>, Error> {
        self.cluster.as_deref().map(str::parse).transpose()
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send>>;

/// One tool.
pub(super) struct Entry {
    /// As the client sees it.
    pub definition: Tool,
    call: Box<dyn Fn(Call, Map<String, Value>) -> Answer + Send + Sync>,
}

/// What a tool does to its surroundings; becomes the four hints of MCP.
#[derive(Clone, Copy)]
pub(super) struct Nature {
    /// Changes nothing anywhere, not even Naosu's store.
    pub read_only: bool,
    /// Changes the cluster.
    pub destructive: bool,
    /// Twice is as good as once.
    pub idempotent: bool,
    /// Talks to Azure, Kubernetes or nodes.
    pub open_world: bool,
}

/// A look into Naosu's own store.
pub(super) const LOOK: Nature = Nature {
    read_only: true,
    destructive: false,
    idempotent: true,
    open_world: false,
};

impl Entry {
    /// A tool whose schemas are those of its input and output types.
    ///
    /// # Errors
    /// When the input's schema is not an object's, which a test would show.
    pub fn new<I, O, F, R>(
        name: &'static str,
        title: &'static str,
        description: &'static str,
        nature: Nature,
        call: F,
    ) -> Result<Self, String>
    where
        I: DeserializeOwned + JsonSchema + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Fn(Call, I) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, Error>> + Send + 'static,
    {
        let annotations = ToolAnnotations::with_title(title)
            .read_only(nature.read_only)
            .destructive(nature.destructive)
            .idempotent(nature.idempotent)
            .open_world(nature.open_world);
        let definition = Tool::new(name, description, schema_for_input::<I>()?)
            .with_title(title)
            .with_raw_output_schema(schema_for_output::<O>())
            .with_annotations(annotations);
        let call = move |context: Call, arguments: Map<String, Value>| -> Answer {
            match serde_json::from_value(Value::Object(arguments)) {
                Ok(input) => {
                    let answer = call(context, input);
                    async move { json(answer.await?) }.boxed()
                }
                Err(reason) => {
                    let error = Error::new(
                        Code::InvalidParameter,
                        format!("the arguments of {name} do not fit: {reason}"),
                        format!("give them as the input schema of {name} says"),
                    );
                    std::future::ready(Err(error)).boxed()
                }
            }
        };
        Ok(Self {
            definition,
            call: Box::new(call),
        })
    }

    /// Calls it. A panic inside is this call's error and nobody else's.
    pub async fn call(&self, context: Call, arguments: Map<String, Value>) -> Result<Value, Error> {
        let contained = AssertUnwindSafe(async { (self.call)(context, arguments).await });
        contained.catch_unwind().await.unwrap_or_else(|_| {
            Err(Error::new(
                Code::Internal,
                format!("the tool {} crashed", self.definition.name),
                "report it with the log lines around; other tools still work",
            ))
        })
    }
}

fn json(answer: impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(answer).map_err(|reason| {
        Error::new(
            Code::Internal,
            format!("an answer has no JSON form: {reason}"),
            "report it",
        )
    })
}
