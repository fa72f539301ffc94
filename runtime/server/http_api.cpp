#include "runtime/server/http_api.h"

#include <nlohmann/json.hpp>

#include "runtime/core/version.h"
#include "runtime/server/page_files.h"

namespace duet::server {
namespace {

HttpReply json_reply(const nlohmann::json& value, int status = 200) {
  return {.status = status,
          .type = "application/json",
          .body = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n'};
}

HttpReply error_reply(int status, const char* code, const std::string& message) {
  return json_reply(
      {{"error", {{"type", "invalid_request_error"}, {"code", code}, {"message", message}}}},
      status);
}

HttpReply page_file(std::string_view name) {
  for (const PageFile& file : page_files()) {
    if (file.name != name) continue;
    const char* type = name.ends_with(".js")    ? "text/javascript; charset=utf-8"
                       : name.ends_with(".css") ? "text/css; charset=utf-8"
                                                : "text/html; charset=utf-8";
    return {.status = 200, .type = type, .body = std::string(file.content), .is_page = true};
  }
  return error_reply(404, "not_found", "no such page");
}

nlohmann::json sessions_json(const ServerState& state) {
  return {{"sessions", state.scheduler->num_sessions()},
          {"capacity", state.scheduler->max_sessions()},
          {"parked", state.metrics->sessions_parked.load()},
          {"waiting", state.metrics->waiting.load()},
          {"draining", state.is_draining.load()}};
}

HttpReply readiness(const ServerState& state) {
  return json_reply(sessions_json(state), is_full(state) || state.is_draining ? 503 : 200);
}

HttpReply build_info(const ServerState& state) {
  const auto& info = state.scheduler->info();
  return json_reply({{"version", core::version()},
                     {"commit", core::commit()},
                     {"git_hash", core::commit()},
                     {"model", info.model_name},
                     {"model_version", info.model_version},
                     {"dtype", info.dtype},
                     {"instance_name", state.config->instance_name}});
}

HttpReply models(const ServerState& state) {
  return json_reply({{"object", "list"},
                     {"data",
                      {{{"id", state.scheduler->info().model_name},
                        {"object", "model"},
                        {"created", 0},
                        {"owned_by", "duet"}}}}});
}

/// Source: openai/openai-python, src/openai/types/realtime/client_secret_create_params.py.
HttpReply client_secret(ServerState& state, const RequestHead& request) {
  double ttl_s = 600.0;
  nlohmann::json session = {{"type", "realtime"}, {"model", state.scheduler->info().model_name}};
  if (!request.body.empty()) {
    const nlohmann::json body = nlohmann::json::parse(request.body, nullptr, false);
    if (!body.is_object()) return error_reply(400, "invalid_json", "expected a JSON object");
    const auto expires = body.find("expires_after");
    if (expires != body.end() && expires->is_object() && expires->contains("seconds") &&
        (*expires)["seconds"].is_number())
      ttl_s = (*expires)["seconds"].get<double>();
  }
  const Access::Secret secret = state.access->make_secret(ttl_s);
  return json_reply(
      {{"value", secret.value}, {"expires_at", secret.expires_at_s}, {"session", session}});
}

}  // namespace

bool is_full(const ServerState& state) {
  return state.scheduler->num_sessions() >= state.scheduler->max_sessions();
}

HttpReply check_access(ServerState& state, const RequestHead& request) {
  if (!state.access->is_host_allowed(request))
    return error_reply(403, "host_not_allowed", "this server is not called " + request.host);
  if (!state.access->is_origin_allowed(request))
    return error_reply(403, "origin_not_allowed", "pages of this origin may not connect");
  if (!state.access->has_token(request))
    return error_reply(401, "invalid_api_key", "expected a valid token");
  return {};
}

HttpReply answer(ServerState& state, const RequestHead& request) {
  const bool is_get = request.method == "GET" || request.method == "HEAD";
  if (is_get && request.path == "/healthz") return {.body = "ok\n"};
  if (is_get && request.path == "/readyz") return readiness(state);
  if (is_get && request.path == "/") return page_file("index.html");
  if (is_get && request.path.starts_with("/page/")) return page_file(request.path.substr(6));
  if (HttpReply refusal = check_access(state, request); refusal.status != 200) return refusal;
  if (is_get && request.path == "/metrics")
    return {.type = "text/plain; version=0.0.4; charset=utf-8", .body = state.metrics->to_text()};
  if (is_get && request.path == "/api/build_info") return build_info(state);
  if (is_get && request.path == "/v1/models") return models(state);
  if (request.method == "POST" && request.path == "/v1/realtime/client_secrets")
    return client_secret(state, request);
  if (request.path == "/api/chat" || request.path == "/v1/realtime" ||
      request.path == "/v1/duplex" || request.path == "/v1/live/sessions")
    return error_reply(426, "upgrade_required", "this is a WebSocket");
  return error_reply(is_get ? 404 : 405, "not_found", "no such page");
}

}  // namespace duet::server
