//! `naosu.v1.PluginService`.

use naosu_proto::v1::{
    GetPluginRequest, GetPluginResponse, ListPluginsRequest, ListPluginsResponse,
    plugin_service_server::PluginService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{serve::Served, wire::Wire};

#[async_trait]
impl PluginService for Served {
    async fn list_plugins(
        &self,
        _request: Request<ListPluginsRequest>,
    ) -> Result<Response<ListPluginsResponse>, Status> {
        let plugins = self.answer(self.naosu.plugins()).await?;
        Ok(Response::new(ListPluginsResponse {
            plugins: plugins.into_wire(),
        }))
    }

    async fn get_plugin(
        &self,
        request: Request<GetPluginRequest>,
    ) -> Result<Response<GetPluginResponse>, Status> {
        let GetPluginRequest { id } = request.into_inner();
        let plugin = self.answer(self.naosu.plugin(&id)).await?;
        Ok(Response::new(GetPluginResponse {
            plugin: plugin.into_wire(),
        }))
    }
}
