"""The words of the probe: what its texts may say, in the order of the shipped tokenizer's ids."""

_NAME_HEADS = "al be co da el fo ga hi jo ka lu mi no pe ru sa"
_NAME_TAILS = "ban dor fin gus ko lan mer nix pol ra sen tis vo wyn zel by"
_CODE_HEADS = "zi ky vu xo qa"
_CODE_TAILS = "b rt m x ff gh st z"
_FILLER = """
  the a grass sky sun is was were green blue yellow bright and_then here there again we they you it goes went come back
  around river stone road house window door garden table chair book paper letter winter summer spring autumn morning
  evening night day hour minute often never always seldom quietly slowly quickly north south east west over under near
  far between among with without water fire earth wind cloud rain snow ice leaf tree root branch flower seed field hill
  valley mountain lake sea shore sand island bridge boat sail ship wheel horse dog cat bird fish fox wolf bear child
  woman man friend teacher farmer baker sailor king queen old young small large warm cold dark light heavy soft hard
  open closed empty full red white black brown"""

SPECIAL = ("<pad>", "<bos>", "<eos>")
PAD, BOS, EOS = range(3)
MARKS = (".", ",", ":", ";", "note", "ask", "list", "trace", "top", "set", "run", "answer", "and")
NUMBERS = tuple(str(number) for number in range(100))
NAMES = tuple(head + tail for head in _NAME_HEADS.split() for tail in _NAME_TAILS.split())
STEPS_MAX = 64
LEFT, RIGHT, RESULT = (tuple(f"{letter}{step}" for step in range(1, STEPS_MAX + 1)) for letter in "xyc")
CODES = tuple(head + tail for head in _CODE_HEADS.split() for tail in _CODE_TAILS.split())
FILLER = tuple(_FILLER.split())

WORDS = SPECIAL + MARKS + NUMBERS + NAMES + LEFT + RIGHT + RESULT + CODES + FILLER
ID = {word: token for token, word in enumerate(WORDS)}
SIZE = (len(WORDS) + 15) // 16 * 16        # rows of the embedding; ids from len(WORDS) on are never used
IS_NUMBER = frozenset(NUMBERS)
EOS_WORD = SPECIAL[EOS]

assert len(ID) == len(WORDS), "a word stands in the vocabulary twice"
