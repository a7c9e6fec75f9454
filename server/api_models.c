/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_models - GET /v1/models and /v1/models/{id}.
 */
#include <string.h>

#include "api.h"
#include "exchange.h"
#include "server_state.h"

static void write_model(struct buf *out, const struct server *server, const char *name) {
    buf_append_str(out, "{\"id\":");
    buf_append_json_string(out, name, strlen(name));
    buf_printf(out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"kvasir\",\"root\":",
               (long long)server->metrics.start_time_s);
    buf_append_json_string(out, server->service->info->name, strlen(server->service->info->name));
    buf_printf(out, ",\"parent\":null,\"max_model_len\":%u}", server->service->max_model_len);
}

void api_models(struct exchange *x) {
    const struct model_names names = server_model_names(x->server);
    struct buf body = {0};
    buf_append_str(&body, "{\"object\":\"list\",\"data\":[");
    for (uint32_t i = 0; i < names.n; i++) {
        if (i > 0)
            buf_append_char(&body, ',');
        write_model(&body, x->server, names.items[i]);
    }
    buf_append_str(&body, "]}");
    exchange_reply_json(x, &body);
    buf_fini(&body);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = ascii_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* True if the path part, with its %XX decoded, is name. Ids such as "org/name" may come either
 * way. */
static bool is_encoded_name(struct span part, const char *name) {
    size_t i = 0;
    for (; *name; name++) {
        if (i >= part.len)
            return false;
        char c = part.bytes[i];
        if (c == '%' && part.len - i >= 3) {
            const int high = hex_digit(part.bytes[i + 1]);
            const int low = hex_digit(part.bytes[i + 2]);
            if (high >= 0 && low >= 0) {
                c = (char)(high * 16 + low);
                i += 2;
            }
        }
        if (c != *name)
            return false;
        i++;
    }
    return i == part.len;
}

void api_model(struct exchange *x) {
    const struct span id = router_rest(x->route, x->request->path);
    const struct model_names names = server_model_names(x->server);
    for (uint32_t i = 0; i < names.n; i++) {
        if (!is_encoded_name(id, names.items[i]))
            continue;
        struct buf body = {0};
        write_model(&body, x->server, names.items[i]);
        exchange_reply_json(x, &body);
        buf_fini(&body);
        return;
    }
    exchange_error(x, 404, "model_not_found", "model", "The model '%.*s' does not exist.",
                   (int)(id.len < 200 ? id.len : 200), id.bytes);
}
