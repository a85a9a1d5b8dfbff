"""Write each block of a language under a heading of README.md into a file of its own.

`python .ci/readme.py Run sh FOLDER` writes Run-1.sh, Run-2.sh, ...
"""

import re
import sys
from pathlib import Path

heading, language, folder = sys.argv[1:]
readme = Path(__file__).resolve().parent.with_name("README.md").read_text("utf-8")
section = readme.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
blocks = re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
if not blocks:
    sys.exit(f'README.md has no block of {language} under "{heading}"')
Path(folder).mkdir(exist_ok=True)
for number, block in enumerate(blocks, start=1):
    Path(folder, f"{heading}-{number}.{language}").write_text(block, "utf-8")
