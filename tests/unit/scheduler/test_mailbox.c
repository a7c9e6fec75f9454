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

static void init(struct mailbox *mailbox, struct queue_load max, uint32_t free_slots) {
    assert_int_equal(mailbox_init(mailbox, &max, free_slots), 0);
}

static seq_id submit(struct mailbox *mailbox, struct seq *seq) {
    seq_id id = 0;
    assert_int_equal(mailbox_submit(mailbox, seq, &id, NULL), 0);
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
    mailbox_publish(mailbox, NULL, &finished);
    list_for_each (node, &finished) {
        list_remove(node);
        seq_destroy(list_entry(node, struct seq, link));
    }
}

static void test_mailbox_ids_are_never_zero_and_never_used_again(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    init(&mailbox, (struct queue_load){.n_requests = 0}, 1);

    seq_id seen[20];
    for (int i = 0; i < 20; i++) {
        seen[i] = submit(&mailbox, make_seq());
        assert_true(seen[i] != 0);
        for (int j = 0; j < i; j++)
            assert_true(seen[j] != seen[i]);
        mailbox_receive(&mailbox, /* wait= */ true, &mail);
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
    init(&mailbox, (struct queue_load){.n_requests = 0}, 1);

    for (int i = 0; i < N; i++)
        (void)submit(&mailbox, make_seq());
    assert_int_equal(mailbox.n_chunks, 2);
    mailbox_receive(&mailbox, /* wait= */ false, &mail);
    assert_int_equal(length(&mail.added), N);
    end_all(&mailbox, &mail.added);
    mailbox_fini(&mailbox);
}

static void test_mailbox_cancel_arrives_once_and_with_its_sequence(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    init(&mailbox, (struct queue_load){.n_requests = 0}, 1);

    struct seq *seq = make_seq();
    const seq_id id = submit(&mailbox, seq);
    mailbox_cancel(&mailbox, id);
    mailbox_cancel(&mailbox, id);
    mailbox_receive(&mailbox, /* wait= */ false, &mail);
    assert_int_equal(length(&mail.added), 1);
    assert_int_equal(length(&mail.cancelled), 1);
    assert_ptr_equal(list_entry(mail.cancelled.next, struct seq, cancel_link), seq);
    list_remove(&seq->cancel_link);

    struct mail later;
    mailbox_cancel(&mailbox, id);
    mailbox_receive(&mailbox, /* wait= */ false, &later);
    assert_true(list_empty(&later.cancelled));
    end_all(&mailbox, &mail.added);
    mailbox_fini(&mailbox);
}

static void test_mailbox_cancel_of_an_ended_or_unknown_id_is_nothing(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    init(&mailbox, (struct queue_load){.n_requests = 0}, 1);
    mailbox_cancel(&mailbox, 0);
    mailbox_cancel(&mailbox, 1);
    mailbox_cancel(&mailbox, UINT64_MAX);

    const seq_id id = submit(&mailbox, make_seq());
    mailbox_receive(&mailbox, /* wait= */ false, &mail);
    end_all(&mailbox, &mail.added);
    mailbox_cancel(&mailbox, id);
    const seq_id next = submit(&mailbox, make_seq()); /* the same place, another generation */
    assert_int_equal((uint32_t)next, (uint32_t)id);
    mailbox_cancel(&mailbox, id);
    mailbox_receive(&mailbox, /* wait= */ false, &mail);
    assert_true(list_empty(&mail.cancelled));
    end_all(&mailbox, &mail.added);
    mailbox_fini(&mailbox);
}

static void test_mailbox_end_overtakes_a_cancel_in_the_box(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    init(&mailbox, (struct queue_load){.n_requests = 0}, 1);
    const seq_id id = submit(&mailbox, make_seq());
    mailbox_receive(&mailbox, /* wait= */ false, &mail);

    mailbox_cancel(&mailbox, id); /* while its last step is computed */
    end_all(&mailbox, &mail.added);
    mailbox_receive(&mailbox, /* wait= */ false, &mail);
    assert_true(list_empty(&mail.cancelled)); /* else a pointer to freed memory */
    mailbox_fini(&mailbox);
}

static void test_mailbox_queue_limit_counts_what_cannot_start(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    struct error error;
    seq_id id;
    init(&mailbox, (struct queue_load){.n_requests = 1}, /* free_slots= */ 2);

    for (int i = 0; i < 3; i++) /* two start, one queues */
        (void)submit(&mailbox, make_seq());
    struct seq *refused = make_seq();
    assert_int_equal(mailbox_submit(&mailbox, refused, &id, &error), -EAGAIN);
    assert_string_equal(error.param, "max_queued_requests");
    assert_string_equal(error.message, "1 requests are waiting, and no more than 1 may");

    mailbox_receive(&mailbox, /* wait= */ false, &mail); /* changes nothing until it is planned */
    assert_int_equal(mailbox_submit(&mailbox, refused, &id, NULL), -EAGAIN);
    assert_int_equal(mailbox_new(&mailbox).n_requests, 3);
    mailbox_report_queue(&mailbox, &(struct queue_load){.n_requests = 0}, /* free_slots= */ 0);
    assert_int_equal(mailbox_new(&mailbox).n_requests, 0);
    assert_int_equal(mailbox_submit(&mailbox, refused, &id, NULL), 0);
    end_all(&mailbox, &mail.added);
    mailbox_fini(&mailbox); /* frees the one that is still inside */
}

static void test_mailbox_token_limit_names_the_numbers(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct error error;
    seq_id id;
    init(&mailbox, (struct queue_load){.n_tokens = 5}, /* free_slots= */ 1);
    (void)submit(&mailbox, make_seq());

    struct seq *refused = make_seq();
    assert_int_equal(mailbox_submit(&mailbox, refused, &id, &error), -EAGAIN);
    assert_string_equal(error.param, "max_queued_tokens");
    assert_non_null(strstr(error.message, "3 prompt tokens are waiting; with the 3"));
    seq_destroy(refused);
    mailbox_fini(&mailbox);
}

static void test_mailbox_stop_wakes_and_refuses(void **state) {
    (void)state;
    struct mailbox mailbox;
    struct mail mail;
    seq_id id;
    init(&mailbox, (struct queue_load){.n_requests = 0}, 1);
    mailbox_stop(&mailbox);
    mailbox_receive(&mailbox, /* wait= */ true, &mail);
    assert_true(mail.stopping);

    struct seq *seq = make_seq();
    assert_int_equal(mailbox_submit(&mailbox, seq, &id, NULL), -ESHUTDOWN);
    seq_destroy(seq);
    mailbox_fini(&mailbox);
}

static bool fail_all(void *ctx, size_t size) {
    (void)ctx;
    (void)size;
    return true;
}

static void test_mailbox_submit_without_memory_for_ids_is_enomem(void **state) {
    (void)state;
    struct mailbox mailbox;
    seq_id id;
    init(&mailbox, (struct queue_load){.n_requests = 0}, 1);
    struct seq *seq = make_seq();

    mem_set_fault_hook(fail_all, NULL);
    assert_int_equal(mailbox_submit(&mailbox, seq, &id, NULL), -ENOMEM);
    mem_set_fault_hook(NULL, NULL);
    assert_int_equal(mailbox_submit(&mailbox, seq, &id, NULL), 0);
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
        cmocka_unit_test(test_mailbox_token_limit_names_the_numbers),
        cmocka_unit_test(test_mailbox_stop_wakes_and_refuses),
        cmocka_unit_test(test_mailbox_submit_without_memory_for_ids_is_enomem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
