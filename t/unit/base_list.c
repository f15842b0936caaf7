/* The intrusive list of base.h. */
#include "lib/unit.h"

struct item {
    int number;
    struct wr_link link;
};

/* The numbers of the items in order, as decimal digits. */
static unsigned order(const struct wr_link *head)
{
    unsigned digits = 0;

    for (struct wr_link *l = head->next; l != head; l = l->next) {
        ck_assert_ptr_eq(l->next->prev, l);
        digits = digits * 10 + (unsigned)wr_container(l, struct item, link)->number;
    }
    return digits;
}

START_TEST(keeps_order)
{
    struct item items[4] = { { .number = 1 }, { .number = 2 }, { .number = 3 }, { .number = 4 } };
    struct wr_link head;

    wr_list_init(&head);
    ck_assert(wr_list_empty(&head));
    ck_assert(!wr_linked(&head));
    wr_list_push(&head, &items[1].link);
    wr_list_push(&head, &items[2].link);
    wr_list_unshift(&head, &items[0].link);
    ck_assert_uint_eq(order(&head), 123);
    wr_list_before(&items[1].link, &items[3].link);
    ck_assert_uint_eq(order(&head), 1423);
    ck_assert(wr_linked(&items[3].link));
}
END_TEST

START_TEST(removes_twice)
{
    struct item a = { .number = 1 }, b = { .number = 2 }, never = { .number = 3 };
    struct wr_link head;

    wr_list_init(&head);
    wr_list_push(&head, &a.link);
    wr_list_push(&head, &b.link);
    wr_list_remove(&a.link);
    wr_list_remove(&a.link);
    wr_list_remove(&never.link);
    ck_assert_uint_eq(order(&head), 2);
    ck_assert(!wr_linked(&a.link));
    wr_list_remove(&b.link);
    ck_assert(wr_list_empty(&head));
    wr_list_push(&head, &a.link);
    ck_assert_uint_eq(order(&head), 1);
}
END_TEST

UNIT_MAIN("base/list", keeps_order, removes_twice)
