//! From the bytes of a component to code that can be called.
//!
//! What bounds the work: the component's size ([`Limits::component_bytes`]), the
//! limits of a function's body that the validator has, and [`Limits::compile_ms`].
//! A compiler cannot be interrupted: past the time its thread is left to itself, and
//! whoever waited goes on.

use std::thread;

use tokio::sync::oneshot;
use wasmtime::{Engine, component::Component};

use super::{Origin, error::PluginError, limits::Limits};

/// Compiled code, and the same as bytes for the cache.
pub(super) struct Compiled {
    pub component: Component,
    pub code: Vec<u8>,
}

/// Compiles a component.
///
/// What the compiler refuses is no component; what it compiled and the sandbox has
/// no room for is over a limit.
pub(super) async fn compile(
    engine: &Engine,
    bytes: &[u8],
    limits: &Limits,
    origin: &Origin,
) -> Result<Compiled, PluginError> {
    let not_a_component = |reason: String| PluginError::NotAComponent {
        origin: origin.to_string(),
        reason,
    };
    let over = |what: String| PluginError::LimitExceeded {
        plugin: origin.to_string(),
        what,
    };
    let (sender, receiver) = oneshot::channel();
    let (own_engine, own_bytes) = (engine.clone(), bytes.to_vec());
    // No blocking task of the runtime: the end of one is waited for.
    thread::Builder::new()
        .name("naosu-compile".to_owned())
        .spawn(move || drop(sender.send(own_engine.precompile_component(&own_bytes))))
        .map_err(|e| PluginError::Sandbox {
            reason: e.to_string(),
        })?;
    let code = match tokio::time::timeout(limits.compiling(), receiver).await {
        Ok(Ok(Ok(code))) => code,
        Ok(Ok(Err(e))) => return Err(not_a_component(format!("{e:#}"))),
        Ok(Err(_)) => return Err(not_a_component("the compiler failed on it".to_owned())),
        Err(_) => {
            let allowed = limits.compile_ms;
            return Err(over(format!("took longer than {allowed} ms to compile")));
        }
    };
    // SAFETY: deserialize runs what it is given as native code. These bytes never
    // left this process: precompile_component of this very engine has just made them.
    let component = unsafe { Component::deserialize(engine, &code) };
    let component = component.map_err(|e| over(format!("{e:#}")))?;
    Ok(Compiled { component, code })
}
