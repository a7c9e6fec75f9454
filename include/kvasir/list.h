/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list - intrusive doubly-linked list: no allocation to queue, O(1) removal from the middle.
 *
 * A head is a struct list that was initialised; a node must be unlinked before it is inserted
 * (list_push_* assert it). A zeroed node counts as unlinked; a head must be initialised.
 */
#ifndef KVASIR_LIST_H
#define KVASIR_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "kvasir/error.h"

struct list {
    struct list *prev;
    struct list *next;
};

#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* Iteration; the current element may be removed (but no other). */
#define list_for_each(node, head)                                                                  \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head);              \
         node = node##_next, node##_next = node->next)

static inline void list_init(struct list *head) {
    head->prev = head;
    head->next = head;
}

static inline bool list_empty(const struct list *head) {
    return head->next == head;
}

static inline bool list_linked(const struct list *node) {
    return node->next != NULL;
}

static inline void list_insert_between(struct list *node, struct list *prev, struct list *next) {
    INVARIANT(!list_linked(node));
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

static inline void list_push_back(struct list *head, struct list *node) {
    list_insert_between(node, head->prev, head);
}

static inline void list_push_front(struct list *head, struct list *node) {
    list_insert_between(node, head, head->next);
}

static inline void list_remove(struct list *node) {
    INVARIANT(list_linked(node));
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = NULL;
    node->next = NULL;
}

static inline struct list *list_first(const struct list *head) {
    return list_empty(head) ? NULL : head->next;
}

static inline struct list *list_last(const struct list *head) {
    return list_empty(head) ? NULL : head->prev;
}

#endif
