/* SPDX-License-Identifier: Apache-2.0 */
#include "router.h"

#include "api.h"

static const struct route routes[] = {
    {METHOD_POST, "/v1/chat/completions", true, api_chat_completions},
    {METHOD_POST, "/v1/completions", true, api_completions},
    {METHOD_GET, "/v1/models", true, api_models},
    {METHOD_GET, "/v1/models/", true, api_model},
    {METHOD_POST, "/tokenize", true, api_tokenize},
    {METHOD_POST, "/detokenize", true, api_detokenize},
    {METHOD_GET, "/health", false, api_health, .is_probe = true},
    {METHOD_GET, "/ready", false, api_ready, .is_probe = true},
    {METHOD_GET, "/live", false, api_live, .is_probe = true},
    {METHOD_GET, "/version", false, api_version},
    {METHOD_GET, "/metrics", false, api_metrics, .is_probe = true},
};

enum { N_ROUTES = sizeof routes / sizeof routes[0] };
_Static_assert((int)N_ROUTES < (int)ROUTER_MAX_ROUTES, "the last index stands for no route");

static bool path_matches(const struct route *route, struct span path) {
    const size_t len = strlen(route->path);
    if (route->path[len - 1] != '/')
        return span_is(path, route->path);
    return path.len > len && memcmp(path.bytes, route->path, len) == 0;
}

static bool method_matches(const struct route *route, enum http_method method) {
    return route->method == method || (route->method == METHOD_GET && method == METHOD_HEAD);
}

const struct route *router_find(enum http_method method, struct span path, int *ret_status,
                                const char **ret_allow) {
    *ret_status = 404;
    *ret_allow = NULL;
    for (uint32_t i = 0; i < N_ROUTES; i++) {
        if (!path_matches(&routes[i], path))
            continue;
        if (method_matches(&routes[i], method))
            return &routes[i];
        *ret_status = 405; /* every path has one route, so no other can match */
        *ret_allow = routes[i].method == METHOD_GET ? "GET, HEAD" : "POST";
        return NULL;
    }
    return NULL;
}

uint32_t router_index(const struct route *route) {
    return route ? (uint32_t)(route - routes) : ROUTER_MAX_ROUTES - 1;
}

const struct route *router_at(uint32_t index) {
    return index < N_ROUTES ? &routes[index] : NULL;
}

struct span router_rest(const struct route *route, struct span path) {
    const size_t len = strlen(route->path);
    return path.len > len ? (struct span){path.bytes + len, path.len - len} : (struct span){0};
}
