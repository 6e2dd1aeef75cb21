"""Budgets: the worked examples of the definition, tables, policies in C, and what a policy may not say."""
import ctypes
import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vortex.budget import attended, budget, check_budget, num_blocks, read_policy
from vortex.config import OperatingPoint
from vortex.errors import BudgetError, PointError

WORKED = OperatingPoint(topk_val=29, topk_ratio=0.0)
DEFAULT = """
// The default, as the upstream spells it.
int by_ratio = (int)(cached_block_len * topk_ratio);   /* reserved blocks
                                                          are inside */
int fixed = topk_val + block_reserved_bos + block_reserved_eos;
return by_ratio > fixed ? by_ratio : fixed;
"""
GIVEN = {"cached_block_len": 1024, "topk_val": 29, "topk_ratio": 0.0625, "block_reserved_bos": 1, "block_reserved_eos": 2}


def single(x: float) -> float:
    return ctypes.c_float(x).value


@pytest.mark.parametrize("policy", [None, DEFAULT])
@pytest.mark.parametrize(("length", "n", "ratio", "most", "taken"), [
    (100, 7, 0.0, 32, 7), (512, 32, 0.0, 32, 32), (513, 33, 0.0, 32, 32), (16384, 1024, 0.0625, 64, 64),
])
def test_worked_examples(policy: str | None, length: int, n: int, ratio: float, most: int, taken: int) -> None:
    point = WORKED.with_(topk_ratio=ratio, schedule_policy=policy)
    assert num_blocks(length, 16) == n
    assert (budget(n, point), attended(n, point)) == (most, taken)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40_000), st.integers(0, 300), st.floats(0, 1, width=32), st.integers(0, 9), st.integers(1, 9))
def test_the_default_policy_written_in_c_is_the_default(n: int, val: int, ratio: float, bos: int, eos: int) -> None:
    point = OperatingPoint(topk_val=val, topk_ratio=ratio, block_reserved_bos=bos, block_reserved_eos=eos)
    assert budget(n, point.with_(schedule_policy=DEFAULT)) == budget(n, point)


def test_tables_give_the_values_of_a_layer_and_head() -> None:
    point = OperatingPoint(topk_val=99, topk_ratio=0.9, topk_layers=(5, (1, 7)), ratio_layers=(0.0, 0.0, (0.5, 0.25)))
    assert [budget(100, point, layer, head) for layer in range(4) for head in range(2)] == [8, 8, 4, 10, 50, 25, 50, 25]
    with pytest.raises(BudgetError, match="layer 2 has values for 2 kv heads, and there is a head 2"):
        budget(100, point, 2, 2)
    policy = point.with_(schedule_policy="topk_val * 10 + (topk_ratio > 0)")
    assert [budget(100, policy, layer, head) for layer in range(3) for head in range(2)] == [50, 50, 10, 70, 11, 71]


def test_a_policy_never_goes_below_the_reserved_blocks() -> None:
    assert [budget(50, WORKED.with_(schedule_policy=text)) for text in ("0", "-7", "return 2;", "4")] == [3, 3, 3, 4]


@pytest.mark.parametrize(("n", "changes"), [(33, {}), (500, {"topk_ratio": 0.5}), (500, {"schedule_policy": "200"})])
def test_more_blocks_by_score_than_max_topk_val_are_refused(n: int, changes: dict[str, object]) -> None:
    point = WORKED.with_(max_topk_val=29, **changes)
    if changes:
        with pytest.raises(BudgetError, match="max_topk_val is 29"):
            budget(n, point)
    else:
        assert budget(n, point) == 32
    assert attended(20, point) == 20                # a row that fits chooses nothing


@pytest.mark.parametrize(("text", "value"), [
    ("max(topk_val + block_reserved_bos + block_reserved_eos, (int)(cached_block_len * topk_ratio))", 64),
    ("int a = static_cast<int>(cached_block_len * topk_ratio); return std::max(a, 8);", 64),
    ("cached_block_len / 10", 102), ("-7 / 2 * 10 + -7 % 3", -31), ("7 / -2", -3), ("0x10 + 010", 24),
    ("min(sqrt((double)cached_block_len), 30.9)", 30), ("1.9f * 1", 1), ("-1.9", -1), ("3 > 2 == 1", 1),
    ("0.1f == 0.1", 0), ("0.1f == (float)0.1", 1), ("topk_val ? 2 : 1 / 0", 2), ("0 && 1 / 0", 0), ("!0 || 1 / 0", 1),
    ("5 && 7", 1), ("!3 + 1", 1), ("ceil(2.1) + floorf(-2.1f) + fabs(-4.0) + abs(-3)", 7), ("fmaxf(1, 2.5f) * 2", 5),
    ("ceil(7 / 2) + ceil(7 / 2.0)", 7), ("16777217 * 1.0f - 16777216", 0), ("16777217 * 1.0 - 16777216", 1),
    ("if (cached_block_len > 512) { int x = 7; x += 2.9; return x; } else return 3;", 9),
    ("int k; if (topk_val > 30) k = 2; else { k = 3; } return k;", 3),
    ("int x = 1; { int x = 5; x *= 2; } return x;", 1), ("int a = 3, b = a * 2; a -= b; return a;", -3),
    ("topk_val = 4; return topk_val;", 4), ("return 3; return 4;", 3), (";;return +1;", 1),
    ("if (topk_val < 0) return 1; else if (topk_val < 100) return 2; return 3;", 2),
    ("double x = 1; int i = 10; i /= 4; x /= 4; return i + x * 100;", 27), ("int x = 17; x %= 5; return x;", 2),
    ("const float third = 1.0f / 3; return third * 3 == 1;", 1), ("2147483647", 2147483647), ("-2147483647 - 1", -2**31),
])
def test_a_policy_computes_as_c_does(text: str, value: int) -> None:
    assert read_policy(text)(**GIVEN) == value


@pytest.mark.parametrize(("text", "line", "said"), [
    ("", 0, "schedule_policy is empty"), (" \n\t", 0, "schedule_policy is empty"),
    ("int s = 0;\nfor (int i = 0; i < 3; i++) s += i;\nreturn s;", 2, "a loop has no place"),
    ("while (1) ;\nreturn 1;", 1, "a loop has no place"), ("do ; while (0); return 1;", 1, "a loop has no place"),
    ("int x = 1;\nint *p = &x;\nreturn *p;", 2, "a pointer has no place"), ("return *&topk_val;", 1, "a pointer"),
    ("int a[3]; return a[0];", 1, "an array has no place"), ("return\n  clamp(1);", 2, "clamp is not a function"),
    ("return 1 +\n rate;", 2, "rate is not declared"), ("x = 3; return x;", 1, "x is not declared"),
    ("{ int x = 1; }\nreturn x;", 2, "x is not declared"), ("int x = 1;\nint x = 2; return x;", 2, "x is declared twice"),
    ("int topk_val = 1; return topk_val;", 1, "topk_val is declared twice"), ("const int x = 1; x = 2; return x;", 1, "const"),
    ("int x = 1;", 1, "a path through the policy returns nothing"), ("if (topk_val)\n return 1;", 2, "returns nothing"),
    ("int x;\nreturn x;", 2, "x may be read before it has a value"), ("int x; x += 1; return x;", 1, "before it has a value"),
    ("int x; if (topk_val) x = 1;\nreturn x;", 2, "x may be read before it has a value"), ("return;", 1, "without a value"),
    ("#define A 1\nreturn A;", 1, "preprocessor text"), ("return 1; \\\n", 1, "preprocessor text"),
    ("return 1; /* so", 1, "a comment that does not end"), ("return max(1,\n 2;", 2, "not C that is understood"),
    ("return 1;\n}", 2, "not C that is understood"), ("return int(3);", 1, "not C that is understood"),
    ("return 1; } int g(void) { return 2;", 1, "more than one function body"), ("bool b = 1; return b;", 1, "bool is not a type"),
    ("return (unsigned)1;", 1, "unsigned is not a type"), ("static int x = 1; return x;", 1, "static has no place"),
    ("return topk_val << 1;", 1, "<< has no place"), ("return ~topk_val;", 1, "~ has no place"),
    ("topk_val++; return 1;", 1, "a statement that changes nothing"), ("max(1, 2); return 3;", 1, "changes nothing"),
    ("return topk_val = 3;", 1, "an assignment inside an expression"), ("return 1, 2;", 1, "a comma has no place"),
    ("return 'a';", 1, "'a' is not an int, float or double"), ('return "a";', 1, "is not an int, float or double"),
    ("return 1L;", 1, "1L is not an int, float or double"), ("return 1e400;", 1, "1e400 is not an int"),
    ("return 2147483648;", 1, "2147483648 is not a 32-bit int"), ("return 5.5 % 2;", 1, "% takes two ints"),
    ("return max(1);", 1, "max takes 2 operands, not 1"), ("goto a; a: return 1;", 1, "a jump has no place"),
    ("switch (1) { default: return 1; }", 1, "a switch has no place"), ("typedef int t; return 1;", 1, "a typedef"),
    ("struct s z; return 1;", 1, "struct is not a type"), ("return sizeof(int);", 1, "sizeof has no place"),
    ("return " + "(" * 999 + "1" + ")" * 999 + ";", 1, "nests too deeply"),
    ("return 1" + "+1" * 999 + ";", 1, "nests too deeply"),
    ("return 1" + " ? 1 : 2" * 900 + ";", 1, ""),
    ("return " + "- " * 4000 + "1;", 1, ""), ("if (1) " * 1000 + "return 1;", 1, ""),
    ("if (topk_val) ; else " * 300 + "return 1;", 1, ""),
    ("return " + "1+" * 9999 + "1;", 0, "longer than 8,192 characters"),
])
def test_what_is_no_policy_is_refused_with_line_and_rule(text: str, line: int, said: str) -> None:
    with pytest.raises(BudgetError) as caught:
        check_budget(OperatingPoint(schedule_policy=text))
    assert said in caught.value.message
    assert caught.value.where.line == line
    assert isinstance(caught.value, PointError)


@pytest.mark.parametrize(("text", "said"), [
    ("1 / (cached_block_len - 1024)", "a division by zero"), ("return 1.0f /\n 0;", "a division by zero"), ("7 % 0", "by zero"),
    ("2147483647 + 1", "2147483648 is not a 32-bit int"), ("cached_block_len * cached_block_len * 4096", "not a 32-bit int"),
    ("sqrt(-1.0)", "nan is not a 32-bit int"), ("1e30", "is not a 32-bit int"), ("(-2147483647 - 1) / -1", "not a 32-bit int"),
    ("abs(-2147483647 - 1)", "not a 32-bit int"), ("(int)(3e38f * 10)", "inf is not a 32-bit int"),
])
def test_what_c_leaves_open_is_refused_when_it_happens(text: str, said: str) -> None:
    point = check_budget(OperatingPoint(schedule_policy=text))
    with pytest.raises(BudgetError, match=said) as caught:
        budget(1024, point)
    assert caught.value.where.line == 1


def test_a_setting_that_is_no_c_int_is_refused_when_a_policy_is_asked() -> None:
    with pytest.raises(BudgetError, match="2147483648 is not a 32-bit int"):
        budget(9, OperatingPoint(topk_val=2**31, schedule_policy="1"))


# Pairs of a policy and the same arithmetic in Python, single precision spelled out.
TRANSLITERATED: dict[str, Callable[[int, float], int]] = {
    "cached_block_len * topk_ratio": lambda n, r: int(single(n * r)),
    "cached_block_len * topk_ratio + 0.5f": lambda n, r: int(single(single(n * r) + 0.5)),
    "cached_block_len * (double)topk_ratio + 0.5": lambda n, r: int(n * r + 0.5),
    "sqrtf(cached_block_len) * 10": lambda n, r: int(single(single(math.sqrt(n)) * 10)),
    "(float)cached_block_len / 3 * 3": lambda n, r: int(single(single(n / 3) * 3)),
    "(cached_block_len - 20000) / 7": lambda n, r: int((n - 20000) / 7),
    "(cached_block_len - 20000) % 7": lambda n, r: int(math.fmod(n - 20000, 7)),
    "float s = 0.1f; s += 0.1; s += 0.1; return s * cached_block_len;":
        lambda n, r: int(single(single(single(single(0.1) + 0.1) + 0.1) * n)),
    "int most = cached_block_len * 0.1f; if (most > 100 && topk_ratio < 0.5f) most = 100 + (most - 100) / 4; return most;":
        lambda n, r: m if (m := int(single(n * single(0.1)))) <= 100 or r >= 0.5 else 100 + (m - 100) // 4,
}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(TRANSLITERATED)), st.integers(1, 40_000), st.floats(0, 1, width=32))
def test_a_policy_equals_the_same_arithmetic_in_python(text: str, n: int, ratio: float) -> None:
    found = read_policy(text)(**GIVEN | {"cached_block_len": n, "topk_ratio": ratio})
    assert found == TRANSLITERATED[text](n, ratio)


def test_a_text_is_read_once() -> None:
    assert read_policy(DEFAULT) is read_policy(DEFAULT)
