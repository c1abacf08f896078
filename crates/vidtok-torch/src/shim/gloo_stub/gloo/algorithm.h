// ProcessGroupGloo.hpp includes this header but uses nothing from it; see README.md.
#pragma once
