"""Prints the pip option for PyTorch's CPU wheels, if no GPU is here (or --cpu is given) and their index answers within 5 s."""
import shutil
import sys
import urllib.error
import urllib.request

INDEX = "https://download.pytorch.org/whl/cpu"


def main() -> None:
    if shutil.which("nvidia-smi") and "--cpu" not in sys.argv:
        return
    try:
        urllib.request.urlopen(f"{INDEX}/torch/", timeout=5).close()
    except (urllib.error.URLError, TimeoutError, OSError):
        return
    print(f"--index-url {INDEX} --extra-index-url https://pypi.org/simple")


if __name__ == "__main__":
    main()
