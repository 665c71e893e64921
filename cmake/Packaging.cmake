# What `cmake --install` and `cpack -G DEB` put where:
#
#   libexec/berth/                  every program: each finds its helpers beside itself (/proc/self/exe)
#   sbin/berthd, bin/berth, bin/berth-oci   links to those that people start
#   lib/systemd/system/             units, with the paths of this prefix
#   share/                          manual pages, completions, monitoring, an example of the configuration
#   /etc/init.d/berthd              for nodes without systemd; in the package only
include(GNUInstallDirs)
set(CMAKE_INSTALL_LIBEXECDIR libexec)
set(docs ${CMAKE_BINARY_DIR}/packaging)
file(MAKE_DIRECTORY ${docs}/links)

install(TARGETS berthd berth berth-oci berth-pull berth-stream berth-copy
        RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/berth)
install(PROGRAMS ${CMAKE_BINARY_DIR}/bin/berth-monitor DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/berth)
foreach(program sbin/berthd bin/berth bin/berth-oci)
  get_filename_component(name ${program} NAME)
  get_filename_component(folder ${program} DIRECTORY)
  file(CREATE_LINK ../${CMAKE_INSTALL_LIBEXECDIR}/berth/${name} ${docs}/links/${name} SYMBOLIC)
  install(FILES ${docs}/links/${name} DESTINATION ${folder})
endforeach()

# What the programs say of themselves.
set(generated "")
function(berth_printed_by program file)
  add_custom_command(OUTPUT ${docs}/${file} DEPENDS ${program} VERBATIM
                     COMMAND $<TARGET_FILE:${program}> ${ARGN} > ${docs}/${file})
  set(generated ${generated} ${docs}/${file} PARENT_SCOPE)
endfunction()
berth_printed_by(berthd berthd.8 man)
berth_printed_by(berthd berth.toml.5 config man)
berth_printed_by(berthd berth.toml config default)
berth_printed_by(berth berth.1 man)
berth_printed_by(berth berth.bash completion bash)
berth_printed_by(berth berth.zsh completion zsh)
berth_printed_by(berth berth.fish completion fish)
add_custom_target(packaging ALL DEPENDS ${generated})

install(FILES ${docs}/berth.1 DESTINATION ${CMAKE_INSTALL_DATADIR}/man/man1)
install(FILES ${docs}/berth.toml.5 DESTINATION ${CMAKE_INSTALL_DATADIR}/man/man5)
install(FILES ${docs}/berthd.8 DESTINATION ${CMAKE_INSTALL_DATADIR}/man/man8)
install(FILES ${docs}/berth.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME berth)
install(FILES ${docs}/berth.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions RENAME _berth)
install(FILES ${docs}/berth.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES ${docs}/berth.toml DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/berth/examples)
install(DIRECTORY contrib/monitoring DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/berth/examples
        PATTERN alerts_test.yaml EXCLUDE)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/berth RENAME copyright)

# The prefix may be named as late as at `cmake --install --prefix`.
set(units ${CMAKE_SOURCE_DIR}/contrib/systemd)
install(CODE "
  file(READ ${units}/berthd.service unit)
  string(REPLACE /usr/sbin/ \"\${CMAKE_INSTALL_PREFIX}/sbin/\" unit \"\${unit}\")
  file(WRITE ${docs}/berthd.service \"\${unit}\")")
install(FILES ${docs}/berthd.service ${units}/berth.slice DESTINATION lib/systemd/system)
install(CODE "
  if(CMAKE_INSTALL_PREFIX STREQUAL /usr)
    file(INSTALL ${CMAKE_SOURCE_DIR}/contrib/debian/init.d/berthd DESTINATION /etc/init.d
         USE_SOURCE_PERMISSIONS)
  endif()")

set(CPACK_GENERATOR DEB)
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_NAME berth)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The Berth maintainers <maintainers@users.noreply.r-seed-4779e723.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Kubernetes container runtime")
set(CPACK_PACKAGE_DESCRIPTION "\
berthd serves the Kubernetes container runtime interface (CRI) to a kubelet; berth is its
command line for people, berth-oci an OCI runtime without a daemon. Pods run on while
berthd is restarted, upgraded or removed.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "containernetworking-plugins, runc | crun, cri-tools")
set(scripts ${CMAKE_SOURCE_DIR}/contrib/debian)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    "${scripts}/postinst;${scripts}/prerm;${scripts}/postrm;${scripts}/conffiles")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
