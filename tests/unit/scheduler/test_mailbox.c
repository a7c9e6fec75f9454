/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox.h"

#include <errno.h>
#include <string.h>

#include "kvasir/mem.h"
#include "seq.h"
#include "support.h"

static const struct scheduler_options OPTIONS = {
    .n_vocab = 10,
    .block_size = 4,
    .n_blocks = 100,
    .max_model_len = 100,
};

static struct seq *make_seq(void) {
    const token_id prompt[] = {1, 2, 3};
    struct scheduler_request *request = scheduler_request_create(prompt, 3, 0);
    struct seq *seq = NULL;
    assert_non_null(request);
    assert_int_equal(seq_create(&OPTIONS, request, &seq, NULL), 0);
    return seq;
}

static void init(struct mailbox *mailbox, struct scheduler_load max, uint32_t max_running) {
    const struct admission_limits limits = {.max_queued = max, .max_running = max_running};
    assert_int_equal(mailbox_init(mailbox, &limits), 0);
}

/* n sequences of three tokens, all or none. */
static int try_submit(struct mailbox *mailbox, uint32_t n, const struct scheduler_load *reserved,
                      seq_id *ret_ids, struct error *reterr) {
    const struct scheduler_load load = {.n_requests = n, .n_tokens = 3ull * n};
    struct list seqs;
    list_init(&seqs);
    for (uint32_t i = 0; i < n; i++)
        list_push_back(&seqs, &make_seq()->mail_link);
    const int r = mailbox_submit(mailbox, &seqs, &load, reserved, ret_ids, reterr);
    assert_true(r < 0 || list_empty(&seqs));
    list_for_each (node, &seqs) {
        list_remove(node);
        seq_destroy(list_entry(node, struct seq, mail_link));
    }
    return r;
}

static seq_id submit(struct mailbox *mailbox) {
    seq_id id = 0;
    assert_int_equal(try_submit(mailbox, 1, NULL, &id, NULL), 0);
    return id;
}

static uint32_t length(const struct list *list) {
    uint32_t n = 0;
    list_for_each (node, list) {
        n++;
    }
    return n;
}

/* As the core would at the end of a sequence. */
static void end_all(struct mailbox *mailbox, struct list *added) {
    struct list finished;
    list_init(&finished);
    list_for_each (node, added) {
        list_remove(node);
        list_push_back(&finished, &list_entry(node, struct seq, mail_link)->link);
    }
    mailbox_publish(mailbox, NULL, &mailbox->core, &finished);
    list_for_each (node, &finished) {
        list_remove(node);
        seq_destroy(list_entry(node, struct seq, link));
    }
}

static void test_mailbox_ids_are_never_zero_and_never_used_again(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    init(&mailbox, (struct scheduler_load){.n_requests = 0}, 1);

    seq_id seen[20];
    for (int i = 0; i < 20; i++) {
        seen[i] = submit(&mailbox);
        assert_true(seen[i] != 0);
        for (int j = 0; j < i; j++)
            assert_true(seen[j] != seen[i]);
        mailbox_receive(&mailbox, MAIL_WAIT, &mail);
        assert_int_equal(length(&mail.added), 1);
        end_all(&mailbox, &mail.added);
    }
    mailbox_fini(&mailbox);
}

static void test_mailbox_ids_outgrow_one_chunk(void **state) {
    (void)state;
    enum { N = MAIL_CHUNK + 5 };
    struct mailbox mailbox;
    struct mail mail;
    init(&mailbox, (struct scheduler_load){.n_requests = 0}, 1);

    for (int i = 0; i < N; i++)
        (void)submit(&mailbox);
    assert_int_equal(mailbox.n_chunks, 2);
    mailbox_receive(&mailbox, MAIL_NO_WAIT, &mail);
    assert_int_equal(length(&mail.added), N);
    end_all(&mailbox, &mail.added);
    mailbox_fini(&mailbox);
}

static void test_mailbox_cancel_arrives_once_and_with_its_sequence(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    init(&mailbox, (struct scheduler_load){.n_requests = 0}, 1);

    const seq_id id = submit(&mailbox);
    mailbox_cancel(&mailbox, id);
    mailbox_cancel(&mailbox, id);
    mailbox_receive(&mailbox, MAIL_NO_WAIT, &mail);
    assert_int_equal(length(&mail.added), 1);
    assert_int_equal(length(&mail.cancelled), 1);
    struct seq *seq = list_entry(mail.cancelled.next, struct seq, cancel_link);
    assert_true(seq->id == id);
    list_remove(&seq->cancel_link);

    struct mail later;
    mailbox_cancel(&mailbox, id);
    mailbox_receive(&mailbox, MAIL_NO_WAIT, &later);
    assert_true(list_empty(&later.cancelled));
    end_all(&mailbox, &mail.added);
    mailbox_fini(&mailbox);
}

static void test_mailbox_cancel_of_an_ended_or_unknown_id_is_nothing(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    init(&mailbox, (struct scheduler_load){.n_requests = 0}, 1);
    mailbox_cancel(&mailbox, 0);
    mailbox_cancel(&mailbox, 1);
    mailbox_cancel(&mailbox, UINT64_MAX);

    const seq_id id = submit(&mailbox);
    mailbox_receive(&mailbox, MAIL_NO_WAIT, &mail);
    end_all(&mailbox, &mail.added);
    mailbox_cancel(&mailbox, id);
    const seq_id next = submit(&mailbox); /* the same place, another generation */
    assert_int_equal((uint32_t)next, (uint32_t)id);
    mailbox_cancel(&mailbox, id);
    mailbox_receive(&mailbox, MAIL_NO_WAIT, &mail);
    assert_true(list_empty(&mail.cancelled));
    end_all(&mailbox, &mail.added);
    mailbox_fini(&mailbox);
}

static void test_mailbox_end_overtakes_a_cancel_in_the_box(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    init(&mailbox, (struct scheduler_load){.n_requests = 0}, 1);
    const seq_id id = submit(&mailbox);
    mailbox_receive(&mailbox, MAIL_NO_WAIT, &mail);

    mailbox_cancel(&mailbox, id); /* while its last step is computed */
    end_all(&mailbox, &mail.added);
    mailbox_receive(&mailbox, MAIL_NO_WAIT, &mail);
    assert_true(list_empty(&mail.cancelled)); /* else a pointer to freed memory */
    mailbox_fini(&mailbox);
}

/* What the core says after a plan, or with the end of a step. */
static void report(struct mailbox *mailbox, uint32_t n_waiting, uint32_t n_startable) {
    const struct queue_report report = {
        .waiting = {.n_requests = n_waiting, .n_tokens = 3ull * n_waiting},
        .n_startable = n_startable,
    };
    mailbox_report_queue(mailbox, &report);
}

static void test_mailbox_queue_limit_counts_what_cannot_start(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    struct error error;
    seq_id id;
    init(&mailbox, (struct scheduler_load){.n_requests = 1}, /* max_running= */ 2);

    for (int i = 0; i < 3; i++) /* two start, one queues */
        (void)submit(&mailbox);
    assert_int_equal(try_submit(&mailbox, 1, NULL, &id, &error), SCHEDULER_QUEUE_FULL);
    assert_string_equal(error.message,
                        "The queue is full: 1 sequences wait, and with the 1 of this request they "
                        "would be more than 1 (max-queued-requests).");

    mailbox_receive(&mailbox, MAIL_NO_WAIT, &mail); /* changes nothing until it is planned */
    assert_int_equal(try_submit(&mailbox, 1, NULL, &id, NULL), SCHEDULER_QUEUE_FULL);
    assert_int_equal(mailbox_new(&mailbox).n_requests, 3);
    report(&mailbox, /* n_waiting= */ 0, /* n_startable= */ 0);
    assert_int_equal(mailbox_new(&mailbox).n_requests, 0);
    assert_int_equal(try_submit(&mailbox, 1, NULL, &id, NULL), 0);
    end_all(&mailbox, &mail.added);
    mailbox_fini(&mailbox); /* frees the one that is still inside */
}

static void test_mailbox_what_waits_for_the_next_plan_does_not_queue(void **state) {
    (void)state;
    struct mailbox mailbox;
    seq_id ids[128];
    init(&mailbox, (struct scheduler_load){.n_requests = 2}, /* max_running= */ 128);

    report(&mailbox, /* n_waiting= */ 30, /* n_startable= */ 100); /* the step had no room */
    assert_int_equal(try_submit(&mailbox, 72, NULL, ids, NULL), 0);
    assert_int_equal(try_submit(&mailbox, 1, NULL, ids, NULL), SCHEDULER_QUEUE_FULL);
    mailbox_fini(&mailbox);
}

static void test_mailbox_end_gives_its_place_with_its_event(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    seq_id ids[3];
    init(&mailbox, (struct scheduler_load){.n_requests = 1}, /* max_running= */ 2);

    assert_int_equal(try_submit(&mailbox, 2, NULL, ids, NULL), 0);
    mailbox_receive(&mailbox, MAIL_NO_WAIT, &mail);
    report(&mailbox, /* n_waiting= */ 0, /* n_startable= */ 0);
    mailbox.core.n_startable = 2; /* as end_all hands it over with the ends */
    end_all(&mailbox, &mail.added);
    assert_int_equal(try_submit(&mailbox, 3, NULL, ids, NULL), 0);
    mailbox_fini(&mailbox);
}

static void test_mailbox_group_is_taken_as_a_whole_or_not_at_all(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    struct error error;
    seq_id ids[5];
    init(&mailbox, (struct scheduler_load){.n_requests = 2}, /* max_running= */ 2);
    (void)submit(&mailbox);

    assert_int_equal(try_submit(&mailbox, 4, NULL, ids, &error), SCHEDULER_QUEUE_FULL);
    assert_int_equal(mailbox_new(&mailbox).n_requests, 1); /* nothing of it counts */
    assert_int_equal(try_submit(&mailbox, 5, NULL, ids, &error), SCHEDULER_INVALID); /* never */
    assert_string_equal(error.message,
                        "A request for 5 sequences can never be taken: 2 may run (max-num-seqs) "
                        "and 2 wait (max-queued-requests).");
    assert_int_equal(try_submit(&mailbox, 3, NULL, ids, NULL), 0);

    mailbox_receive(&mailbox, MAIL_NO_WAIT, &mail);
    assert_int_equal(length(&mail.added), 4);
    struct list *last = mail.added.prev; /* in the order in which they came */
    for (int i = 2; i >= 0; i--, last = last->prev)
        assert_true(list_entry(last, struct seq, mail_link)->id == ids[i]);
    end_all(&mailbox, &mail.added);
    mailbox_fini(&mailbox);
}

static void test_mailbox_cancel_in_the_inbox_gives_the_place_back(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    seq_id ids[3];
    seq_id id;
    init(&mailbox, (struct scheduler_load){.n_requests = 2}, /* max_running= */ 1);
    assert_int_equal(try_submit(&mailbox, 3, NULL, ids, NULL), 0);
    assert_int_equal(try_submit(&mailbox, 1, NULL, &id, NULL), SCHEDULER_QUEUE_FULL);

    mailbox_cancel(&mailbox, ids[1]);
    mailbox_cancel(&mailbox, ids[1]); /* once is enough */
    assert_int_equal(mailbox_new(&mailbox).n_requests, 2);
    assert_int_equal(try_submit(&mailbox, 1, NULL, &id, NULL), 0);
    assert_int_equal(try_submit(&mailbox, 1, NULL, &id, NULL), SCHEDULER_QUEUE_FULL);

    mailbox_receive(&mailbox, MAIL_NO_WAIT, &mail); /* its end is still given */
    assert_int_equal(length(&mail.added), 4);
    list_for_each (node, &mail.cancelled) {
        list_remove(node);
    }
    mailbox_cancel(&mailbox, ids[0]); /* no longer in the inbox: the next report counts it out */
    assert_int_equal(mailbox_new(&mailbox).n_requests, 3);
    report(&mailbox, /* n_waiting= */ 2, /* n_startable= */ 0);
    assert_int_equal(mailbox_new(&mailbox).n_requests, 0);
    end_all(&mailbox, &mail.added);
    mailbox_fini(&mailbox);
}

static void test_mailbox_reservations_count_until_they_are_given_back(void **state) {
    (void)state;
    const struct scheduler_load one = {.n_requests = 1, .n_tokens = 1000};
    const struct scheduler_load many = {.n_requests = 4, .n_tokens = 0};
    struct mailbox mailbox;
    struct error error;
    seq_id id;
    init(&mailbox, (struct scheduler_load){.n_requests = 2}, /* max_running= */ 1);

    for (int i = 0; i < 3; i++)
        assert_int_equal(mailbox_reserve(&mailbox, &one, NULL), 0);
    assert_int_equal(mailbox_reserve(&mailbox, &one, &error), SCHEDULER_QUEUE_FULL);
    assert_int_equal(try_submit(&mailbox, 1, NULL, &id, NULL), SCHEDULER_QUEUE_FULL);
    assert_int_equal(try_submit(&mailbox, 1, &one, &id, NULL), 0); /* in its own place */
    mailbox_release(&mailbox, &one);
    assert_int_equal(try_submit(&mailbox, 1, NULL, &id, NULL), 0);
    assert_int_equal(try_submit(&mailbox, 2, &one, &id, NULL), SCHEDULER_QUEUE_FULL); /* given */
    assert_int_equal(mailbox.reserved.n_requests, 0);
    assert_int_equal(mailbox_reserve(&mailbox, &many, NULL), SCHEDULER_INVALID);
    mailbox_fini(&mailbox);
}

static void test_mailbox_guessed_tokens_refuse_nothing_alone(void **state) {
    (void)state;
    const struct scheduler_load guess = {.n_requests = 2, .n_tokens = 100};
    struct mailbox mailbox;
    init(&mailbox, (struct scheduler_load){.n_tokens = 10}, /* max_running= */ 1);
    assert_int_equal(mailbox_reserve(&mailbox, &guess, NULL), 0);
    assert_int_equal(mailbox_reserve(&mailbox, &guess, NULL), SCHEDULER_QUEUE_FULL);
    mailbox_release(&mailbox, &guess);
    mailbox_fini(&mailbox);
}

static void test_mailbox_token_limit_names_the_numbers(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct error error;
    seq_id ids[3];
    init(&mailbox, (struct scheduler_load){.n_tokens = 5}, /* max_running= */ 1);
    (void)submit(&mailbox);
    (void)submit(&mailbox); /* three tokens wait behind it */

    assert_int_equal(try_submit(&mailbox, 1, NULL, ids, &error), SCHEDULER_QUEUE_FULL);
    assert_non_null(strstr(error.message, "3 prompt tokens wait, and with the 3 of this request "
                                          "they would be more than 5 (max-queued-tokens)"));
    assert_int_equal(try_submit(&mailbox, 3, NULL, ids, &error), SCHEDULER_INVALID);
    assert_non_null(strstr(error.message, "6 of their prompt tokens would have to wait"));
    mailbox_fini(&mailbox);
}

static void test_mailbox_stop_wakes_and_refuses(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    seq_id id;
    init(&mailbox, (struct scheduler_load){.n_requests = 0}, 1);
    mailbox_stop(&mailbox);
    mailbox_receive(&mailbox, MAIL_WAIT, &mail);
    assert_true(mail.stopping);

    assert_int_equal(try_submit(&mailbox, 1, NULL, &id, NULL), SCHEDULER_STOPPING);
    mailbox_fini(&mailbox);
}

static bool fail_all(void *ctx, size_t size) {
    (void)ctx;
    (void)size;
    return true;
}

static void test_mailbox_submit_without_memory_for_ids_is_enomem(void **state) {
    (void)state;
    const struct scheduler_load load = {.n_requests = 1, .n_tokens = 3};
    struct mailbox mailbox;
    struct list seqs;
    seq_id id;
    init(&mailbox, (struct scheduler_load){.n_requests = 0}, 1);
    list_init(&seqs);
    list_push_back(&seqs, &make_seq()->mail_link);

    mem_set_fault_hook(fail_all, NULL);
    assert_int_equal(mailbox_submit(&mailbox, &seqs, &load, NULL, &id, NULL), SCHEDULER_NO_MEMORY);
    mem_set_fault_hook(NULL, NULL);
    assert_int_equal(mailbox_submit(&mailbox, &seqs, &load, NULL, &id, NULL), 0);
    mailbox_cancel(&mailbox, id);
    mailbox_fini(&mailbox);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mailbox_ids_are_never_zero_and_never_used_again),
        cmocka_unit_test(test_mailbox_ids_outgrow_one_chunk),
        cmocka_unit_test(test_mailbox_cancel_arrives_once_and_with_its_sequence),
        cmocka_unit_test(test_mailbox_cancel_of_an_ended_or_unknown_id_is_nothing),
        cmocka_unit_test(test_mailbox_end_overtakes_a_cancel_in_the_box),
        cmocka_unit_test(test_mailbox_queue_limit_counts_what_cannot_start),
        cmocka_unit_test(test_mailbox_what_waits_for_the_next_plan_does_not_queue),
        cmocka_unit_test(test_mailbox_end_gives_its_place_with_its_event),
        cmocka_unit_test(test_mailbox_group_is_taken_as_a_whole_or_not_at_all),
        cmocka_unit_test(test_mailbox_cancel_in_the_inbox_gives_the_place_back),
        cmocka_unit_test(test_mailbox_reservations_count_until_they_are_given_back),
        cmocka_unit_test(test_mailbox_guessed_tokens_refuse_nothing_alone),
        cmocka_unit_test(test_mailbox_token_limit_names_the_numbers),
        cmocka_unit_test(test_mailbox_stop_wakes_and_refuses),
        cmocka_unit_test(test_mailbox_submit_without_memory_for_ids_is_enomem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
