//! What the sandbox does with components, well behaved and hostile ones.

mod cache;
mod calls;
mod loading;
mod reads;
mod support;
