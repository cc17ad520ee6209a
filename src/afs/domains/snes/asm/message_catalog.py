"""The ids of errors and warnings (Asar's, so that its users know them) with our wording of each."""

from __future__ import annotations

from typing import Final

_TABLE = """
Elimit_reached|more than {} errors: giving up
Elimit_statements|the source runs more than {} statements: an endless loop or recursion?
Elimit_time|assembling took longer than {} s
Elimit_output|the source writes more than {} bytes
Elimit_text|a line grew beyond {} characters
E16mb_rom_limit|a ROM cannot be larger than 16 MB
Erecursion_limit|too deeply nested: macros, includes, defines and parentheses together
Ecmdl_define_invalid|'{}' is not a valid define name
Efile_not_found|file '{}' not found below the source's folder or the include folders
Efailed_to_open_file|cannot read '{}'
Efailed_to_open_not_regular_file|'{}' is not a regular file
Efailed_to_open_file_access_denied|'{}' is outside of the source's folder and the include folders (see -I)
Efile_offset_out_of_bounds|offset {} is outside of file '{}'
Erep_at_file_end|rep at the end of a file
Erep_at_macro_end|rep or if at the end of a macro
Emismatched_parentheses|mismatched parentheses
Emismatched_quotes|mismatched quotes
Emismatched_braces|mismatched braces
Einvalid_hex_value|not a hex number
Einvalid_binary_value|not a binary number
Einvalid_character|not a character
Einvalid_number|not a number, label or function
Einvalid_input|a comma where an expression should end
Estring_literal_not_terminated|want a string in quotes
Egarbage_near_quoted_string|unexpected text next to a quoted string
Emalformed_function_call|malformed function call
Erom_too_short|the ROM is too short to have a title (want '{}')
Erom_title_incorrect|the ROM's title is '{1}', want '{0}'
Ebank_border_crossed|a bank border was crossed at ${:06X}
Estart_of_file|only allowed at the start of a file
Einvalid_version_number|not a version number
Easar_too_old|the source requires a newer Asar than 1.91
Erelative_branch_out_of_bounds|the branch is out of reach (distance {})
Esnes_address_doesnt_map_to_rom|SNES address ${:06X} is not in the ROM
Esnes_address_out_of_bounds|SNES address ${:06X} is out of bounds
Einvalid_opcode_length|the suffix is none of .b .w .l
Einvalid_mapper|expected `sa1rom` or `sa1rom a,b,c,d` with four digits
Enan|the result is not a number
Edivision_by_zero|division by zero
Emodulo_by_zero|modulo by zero
Eunknown_operator|unknown operator
Enegative_shift|shift by a negative amount
Einvalid_function_name|invalid name for a function
Efunction_not_found|no function '{}'
Ebroken_function_declaration|expected `function name(a,b) = expression`
Einvalid_param_name|invalid name for a parameter
Eduplicate_param_name|parameter '{}' of function {} is named twice
Erequire_parameter|the function requires another parameter
Eexpected_parameter|too few parameters for function {}
Eunexpected_parameter|too many parameters for function {}
Ewrong_num_parameters|wrong number of parameters
Einvalid_label_name|invalid name for a label
Elabel_not_found|no label '{}'
Elabel_redefined|label '{}' is defined twice
Ebroken_label_definition|unexpected text next to a label
Elabel_cross_assignment|a label cannot be set to another label that may move
Emacro_label_outside_of_macro|a `?label` outside of a macro
Elabel_on_third_pass|label '{}' first appeared in the last pass
Elabel_moving|a label moves from pass to pass
Elabel_ambiguous|the address of label {} depends on itself
Elabel_missing_parent|this sublabel has no parent label
Elabel_forward|a label defined later cannot be used here
Einvalid_global_label|'{}' cannot be a global label
Einvalid_namespace_name|invalid name for a namespace
Einvalid_namespace_use|expected `namespace name`, `namespace off` or `namespace nested on`
Epushns_without_pullns|pushns without pullns
Epullns_without_pushns|pullns without pushns
Einvalid_struct_name|invalid name for a struct
Estruct_not_found|no struct '{}'
Estruct_redefined|struct '{}' is defined twice
Estruct_invalid_parent_name|invalid name for a parent struct
Einvalid_label_missing_closer|missing ] in a label
Emultiple_subscript_operators|only one [index] is possible
Einvalid_subscript|the [index] must stand before the first dot
Earray_invalid_inside_structs|no [index] inside a struct
Estruct_without_endstruct|struct without endstruct
Enested_struct|a struct inside a struct
Emissing_struct_params|the struct needs a name
Etoo_many_struct_params|too many words after struct
Emissing_extends|expected `struct child extends parent`
Einvalid_endstruct_count|expected `endstruct` or `endstruct align n`
Eexpected_align|expected `endstruct align n`
Eendstruct_without_struct|endstruct without struct
Ealignment_too_small|the alignment must be at least 1
Ealignment_too_big|the alignment is too large
Einvalid_alignment|the alignment must be a power of two
Einvalid_define_name|invalid name for a define
Edefine_not_found|no define '!{}'
Ebroken_define_declaration|unexpected text after the value of a define
Eoverriding_builtin_define|define '!{}' is built in and cannot be set
Edefine_label_math|`#=` cannot use a label that may move
Einvalid_macro_name|invalid name for a macro
Emacro_not_found|no macro '{}'
Emacro_redefined|macro '{}' is defined twice
Ebroken_macro_declaration|expected `macro name(a,b)`
Einvalid_macro_param_name|invalid name for a macro parameter
Emacro_param_not_found|the macro has no parameter '{}'
Emacro_param_redefined|macro parameter '{}' is named twice
Ebroken_macro_usage|expected `%name(a,b)`
Emacro_wrong_num_params|wrong number of parameters for the macro
Emacro_wrong_min_params|too few parameters for the macro
Emacro_not_varadic|sizeof(...) in a macro without ...
Evararg_sizeof_nomacro|sizeof(...) outside of a macro
Evararg_out_of_bounds|there are fewer variadic parameters
Evararg_must_be_last|... must be the last parameter
Eunclosed_vararg|missing ] in <...[n]>
Einvalid_vararg|'{}' is not variadic
Emacro_param_outside_macro|a macro parameter outside of a macro
Enested_macro_definition|a macro inside a macro
Emisplaced_endmacro|endmacro without macro
Eunclosed_macro|macro without endmacro
Elabel_in_conditional|a label that may move in {}
Ebroken_conditional|malformed {} command
Einvalid_condition|&& and || cannot be mixed
Emisplaced_elseif|elseif without if
Eelseif_in_while|elseif in a while loop
Emisplaced_endif|endif without if
Emisplaced_else|else without if
Eelse_in_while_loop|else in a loop
Eunclosed_if|if, while or for without its end
Ebroken_for_loop|expected `for name = start..end`
Ebad_single_line_for|a for loop must begin and end on lines of its own, or be the whole line
Eunknown_command|unknown command{}
Ecommand_disabled|{} is not supported here
Ebroken_incbin|expected `incbin "file"` or `incbin "file":start..end`
Eincbin_64kb_limit|more than 64 KB at once
Ecant_be_main_file|this file is meant to be included
Eno_labels_here|a label that may move cannot be used here
Einvalid_freespace_request|malformed freespace command
Eno_freespace_norom|no freespace in norom
Estatic_freespace_autoclean|a static freespace needs an autoclean
Estatic_freespace_growing|a static freespace may not grow
Eno_freespace_in_mapped_banks|no freespace in the mapped banks for {} bytes
Eno_freespace|no freespace for {} bytes
Efreespace_limit_reached|more than {} freespaces
Eprot_not_at_freespace_start|prot must stand at the start of a freespace
Eprot_too_many_entries|too many labels after prot
Eautoclean_in_freespace|autoclean inside a freespace
Eautoclean_label_at_freespace_end|autoclean of a label that is not inside a freespace
Ebroken_autoclean|expected `autoclean jsl label`, `jml` or `dl`
Epulltable_without_table|pulltable without pushtable
Einvalid_table_file|malformed table file, line {}
Epad_in_freespace|pad inside a freespace
Eorg_label_forward|org to a label that comes later
Ebase_label_invalid|base of a label that comes later
Erep_label|rep with a label
Epushpc_without_pullpc|pushpc without pullpc
Epullpc_without_pushpc|pullpc without pushpc
Epullbase_without_pushbase|pullbase without pushbase
Einvalid_math|expected `math pri on`, `math round off` …
Einvalid_warn|malformed warn command
Einvalid_check|expected `check title "…"` or `check bankcross off`, `half`, `full`
Ewarnpc_in_freespace|warnpc inside a freespace
Ewarnpc_broken_param|warnpc wants an address
Ewarnpc_failed|warnpc: at ${:06X}, beyond ${:06X}
Eassertion_failed|assertion failed{}
Eerror_command|error command{}
Einvalid_print_function_syntax|malformed print function
Eunknown_variable|unknown variable
Einvalid_warning_id|no warning of that name
Epushwarnings_without_pullwarnings|warnings push without warnings pull
Epullwarnings_without_pushwarnings|warnings pull without warnings push
Earch_superfx|SuperFX code is not assembled here: assemble this part with Asar
Eunknown_arch|unknown processor {}: expected 65816 or spc700
Einvalid_tcall|tcall takes 0 to 15
Euse_xplus|write (x+) instead of (x)+
Eopcode_length_too_long|SPC700 operands have one or two bytes: .b or .w
Espc700_addr_out_of_range|{} is out of range for a bit instruction: $0000 to $1FFF
Espc700_inline_no_base|no base in arch spc700-inline
Efeature_unavaliable_in_spcblock|this cannot be used inside of an spcblock
Espcblock_inside_struct|spcblock inside a struct
Espcblock_format|expected `spcblock address` or `spcblock address nspc`
Eendspcblock_without_spcblock|endspcblock without spcblock
Emissing_endspcblock|spcblock without endspcblock
Eunknown_endspcblock_format|expected `endspcblock` or `endspcblock execute address`
Estartpos_without_spcblock|startpos outside of an spcblock
Epullpc_different_arch|pullpc in another arch than its pushpc
Ebad_dp_base|dpbase must be a multiple of 256 below $10000
Ebad_dp_optimize|'{}' is none of none, ram, always
Ebad_address_optimize|'{}' is none of default, ram, mirrors
Ebad_optimize|'{}' is none of dp, address
Estrict_value_too_big|{} does not fit in {} byte(s)
Estrict_forced_width|{} needs {} bytes, the suffix allows {}
Estrict_branch_number|a branch to a bare number is a distance in Asar: use a label
Estrict_lost_bank|{} goes to bank ${:02X}, the code is in bank ${:02X}
Estrict_mixed_operators|different operators without parentheses: Asar calculates from left to right
W65816_yy_x_does_not_exist|($yy),x does not exist, taken as $yy,x
W65816_xx_y_assume_16_bit|{} $xx,y has no 8-bit form, taken as 16-bit
Wunknown_arch|unknown processor {}: it is ignored, as Asar does
Wmissing_org|no org before this
Wset_middle_byte|bit $8000 of this address should be set
Wunrecognized_special_command|unknown special command
Wspc700_assuming_8_bit|there is no 16-bit form, taken as 8-bit
Wfreespace_leaked|no autoclean for this freespace
Wwarn_command|warn command{}
Wimplicitly_sized_immediate|the width of this immediate is implied
Wrom_too_short|the ROM is too short to have a title (want '{}')
Wrom_title_incorrect|the ROM's title is '{1}', want '{0}'
Wxkas_patch|is this meant for xkas?
Wautoclear_deprecated|autoclear is the old name of autoclean
Wdatasize_last_label|datasize of the last label '{}'
Wdatasize_exceeds_size|datasize of '{}' is more than $FFFF
Wmapper_already_set|the mapper was already set
Wfeature_deprecated|{} is deprecated: {}
Wbyte_order_mark_utf8|the file starts with a byte order mark
Woptimization_settings|Asar 2 would write {1} byte(s) here instead of {0}: give a width suffix
"""

MESSAGES: Final[dict[str, str]] = dict(line.split("|", 1) for line in _TABLE.strip().splitlines())
"""id -> format."""

_NAMES = """
relative_path_used rom_too_short rom_title_incorrect 65816_yy_x_does_not_exist 65816_xx_y_assume_16_bit
spc700_assuming_8_bit cross_platform_path missing_org set_middle_byte unrecognized_special_command freespace_leaked
warn_command implicitly_sized_immediate xkas_deprecated xkas_eat_parentheses xkas_label_access xkas_warnpc_relaxed
xkas_style_conditional xkas_patch xkas_incsrc_relative convert_to_asar fixed_deprecated autoclear_deprecated
check_memory_file if_not_condition_deprecated function_redefined datasize_last_label datasize_exceeds_size
mapper_already_set feature_deprecated byte_order_mark_utf8 optimization_settings
"""

WARNINGS: Final = tuple(_NAMES.split())
"""Every warning of Asar in the order of its numbers, from 1001; we give those that have a text above."""

OFF_BY_DEFAULT: Final = frozenset({"Wimplicitly_sized_immediate"})


def message(id: str, *values: object) -> str:
    """The wording of an id with its values."""
    text = MESSAGES[id]
    return text.format(*values) if values else text.replace("{}", "")
