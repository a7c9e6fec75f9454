/* SPDX-License-Identifier: Apache-2.0 */
/* list: order, removal from the middle, and removal while walking. */
#include "support.h"

#include "kvasir/list.h"

struct item {
    int value;
    struct list link;
};

/* The values in order as one number: 1, 2, 3 is 123. */
static int digits(const struct list *head) {
    int all = 0;
    list_for_each (node, head) {
        all = all * 10 + list_entry(node, struct item, link)->value;
    }
    return all;
}

static void test_list_keeps_the_order_of_both_ends(void **state) {
    struct list head;
    list_init(&head);
    assert_true(list_empty(&head));
    assert_null(list_first(&head));
    assert_null(list_last(&head));

    struct item items[] = {{.value = 1}, {.value = 2}, {.value = 3}};
    list_push_back(&head, &items[1].link);
    list_push_back(&head, &items[2].link);
    list_push_front(&head, &items[0].link);
    assert_int_equal(digits(&head), 123);
    assert_ptr_equal(list_first(&head), &items[0].link);
    assert_ptr_equal(list_last(&head), &items[2].link);
}

static void test_list_remove_unlinks_and_allows_insertion_again(void **state) {
    struct list head;
    list_init(&head);
    struct item items[] = {{.value = 1}, {.value = 2}, {.value = 3}};
    for (size_t i = 0; i < 3; i++)
        list_push_back(&head, &items[i].link);

    list_remove(&items[1].link);
    assert_false(list_linked(&items[1].link));
    assert_int_equal(digits(&head), 13);
    list_push_back(&head, &items[1].link);
    assert_int_equal(digits(&head), 132);
}

static void test_list_for_each_may_remove_the_current_node(void **state) {
    struct list head;
    list_init(&head);
    struct item items[5] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}, {.value = 5}};
    for (size_t i = 0; i < 5; i++)
        list_push_back(&head, &items[i].link);

    list_for_each (node, &head) {
        if (list_entry(node, struct item, link)->value % 2)
            list_remove(node);
    }
    assert_int_equal(digits(&head), 24);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_keeps_the_order_of_both_ends),
        cmocka_unit_test(test_list_remove_unlinks_and_allows_insertion_again),
        cmocka_unit_test(test_list_for_each_may_remove_the_current_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
