/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router - the one table of what is served: method, path, handler, and what it needs.
 *
 * The path is compared byte by byte, undecoded: there is one spelling of every route.
 */
#ifndef KVASIR_SERVER_ROUTER_H
#define KVASIR_SERVER_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

#include "http_request.h"
#include "span.h"

struct exchange;

struct route {
    enum http_method method; /* GET answers HEAD as well */
    const char *path;        /* a trailing slash: what follows it is the handler's */
    bool needs_model;        /* 503 while loading or draining */
    void (*handle)(struct exchange *exchange);
    bool is_probe; /* asked by machines all the time: in the access log at level debug only */
};

enum { ROUTER_MAX_ROUTES = 32 };

/* The route of a request, or NULL: *ret_status is 404, or 405 with the methods in *ret_allow. */
const struct route *router_find(enum http_method method, struct span path, int *ret_status,
                                const char **ret_allow);

/* Its index in the table (for the counters by route); ROUTER_MAX_ROUTES - 1 for NULL. */
uint32_t router_index(const struct route *route);
const struct route *router_at(uint32_t index); /* NULL behind the last */

/* What follows a route's path in the request's; empty for exact routes. */
struct span router_rest(const struct route *route, struct span path);

#endif
